"""Space-time mixing: which channels come from which frame, and how far a frame reaches."""

import pytest
import torch
from mmaction.registry import MODELS
from torch import nn

from mmstadapter.models import CLIPBlock, XViT
from mmstadapter.models.backbones.xvit import mix_frames
from mmstadapter.models.trunks import CLIPViT
from mmstadapter.testing import fill, tiny_trunk, toy_clips


def build(**options) -> XViT:
    return fill(XViT(trunk=tiny_trunk(), **dict(num_frames=4) | options)).eval()


def numbered(num_frames: int = 3) -> torch.Tensor:
    """Keys of two clips, one head, one token, eight channels that hold the frame's number."""
    frames = torch.arange(1.0, num_frames + 1).repeat(2)
    return frames[:, None, None].expand(-1, 1, 8)


def test_a_quarter_comes_from_the_next_a_quarter_from_the_previous_frame():
    out = mix_frames(numbered(), num_frames=3, num_heads=1)[:, 0]
    clip = [[2, 2, 0, 0, 1, 1, 1, 1], [3, 3, 1, 1, 2, 2, 2, 2], [0, 0, 2, 2, 3, 3, 3, 3]]
    assert out.tolist() == clip + clip


def test_a_single_frame_has_nothing_but_its_own_channels():
    out = mix_frames(numbered(1), num_frames=1, num_heads=1)[0, 0]
    assert out.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_of_a_clip_that_stands_still_the_inner_frames_are_unchanged():
    x = torch.randn(1, 5, 16).repeat(4, 1, 1)
    assert torch.equal(mix_frames(x, num_frames=4, num_heads=2)[1:3], x[1:3])


def test_attention_that_mixes_nothing_is_the_image_models_to_the_bit():
    block, x = fill(CLIPBlock(16, 2)), torch.randn(4, 5, 16)
    assert torch.equal(block.attend(x, mix=lambda q, k, v: (q, k, v)), block.attend(x))


def test_a_frame_reaches_its_neighbours_and_no_further_in_one_block():
    block, x = fill(CLIPBlock(16, 2)), torch.randn(6, 5, 16)
    changed = x.clone()
    changed[2] += torch.randn(5, 16)
    mix = lambda q, k, v: (q, mix_frames(k, 6, 2), mix_frames(v, 6, 2))  # noqa: E731
    a, b = (block.attend(y, mix=mix) for y in (x, changed))
    difference = (a - b).abs().amax(dim=(1, 2))
    assert [bool(d > 0) for d in difference] == [False, True, True, True, False, False]


def test_one_query_gives_the_class_token_of_the_whole_block():
    block, x = fill(CLIPBlock(16, 2)), torch.randn(4, 5, 16)
    mix = lambda q, k, v: (q, mix_frames(k, 4, 2), mix_frames(v, 4, 2))  # noqa: E731
    whole = block.attend(x, mix=mix)[:, :1]
    torch.testing.assert_close(block.attend(x, num_queries=1, mix=mix), whole)


def test_order_matters_without_time_positions():
    backbone = build()
    nn.init.zeros_(backbone.time_embed)
    video = toy_clips(batch=1)
    assert not torch.allclose(backbone(video), backbone(video.flip(2)), atol=1e-3)


def test_shifting_nothing_and_no_positions_leave_a_model_without_order():
    backbone = build(shift_div=64)  # of 16 channels a head a 64th is none
    nn.init.zeros_(backbone.time_embed)
    video = toy_clips(batch=1)
    torch.testing.assert_close(backbone(video), backbone(video.flip(2)))


def test_a_trunk_that_cannot_mix_is_refused():
    class PlainBlock(CLIPBlock):
        mixes = False

        def attend(self, x, num_queries=None):
            return super().attend(x, num_queries)

    @MODELS.register_module(force=True)
    class PlainTrunk(CLIPViT):
        blocks = [PlainBlock(32, 2)]

    with pytest.raises(ValueError, match=r'must offer attend\(x, mix=.*those of PlainTrunk do not'):
        XViT(trunk=tiny_trunk(type='PlainTrunk'))
    MODELS.module_dict.pop('PlainTrunk')


def test_more_than_all_channels_cannot_be_shifted():
    with pytest.raises(ValueError, match='shift_div must be at least 2'):
        build(shift_div=1)
