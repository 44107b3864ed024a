"""Divided space-time attention: its start, its order of frames, its three ways to be tuned."""

import pytest
import torch
from torch import nn

from mmstadapter.models import FrameMeanViT, TemporalAttention, TimeSformerViT
from mmstadapter.models.backbones.timesformer import share_over_time
from mmstadapter.models.ops.positions import time_positions
from mmstadapter.testing import fill, tiny_trunk, toy_clips


def build(trunk: dict | None = None, **options) -> TimeSformerViT:
    return TimeSformerViT(trunk=tiny_trunk(**trunk or {}), **dict(num_frames=4) | options)


def image_model(backbone: TimeSformerViT) -> FrameMeanViT:
    frame_mean = FrameMeanViT(trunk=tiny_trunk()).eval()
    frame_mean.trunk.load_state_dict(backbone.trunk.state_dict())
    return frame_mean


@pytest.mark.parametrize('blocks', ['all', 'last_1'])
def test_starts_as_the_image_model_with_a_class_token_a_frame(blocks):
    backbone = build(class_token='frame', blocks=blocks).eval()
    assert torch.equal(backbone(toy_clips()), image_model(backbone)(toy_clips()))


def test_starts_as_the_image_model_on_clips_that_stand_still():
    backbone = build().eval()
    video = toy_clips()[:, :, :1].repeat(1, 1, 4, 1, 1)
    torch.testing.assert_close(backbone(video), image_model(backbone)(video))


def test_at_the_start_only_the_last_maps_and_the_positions_learn():
    backbone = build(class_token='frame')
    backbone(toy_clips()).square().sum().backward()
    trained = [(n, p) for n, p in backbone.named_parameters() if p.requires_grad]
    moving = {n for n, p in trained if p.grad.abs().max() > 0}
    last_maps = {f'temporal.{i}.fc.{part}' for i in range(3) for part in ('weight', 'bias')}
    assert moving == last_maps | {'time_embed'}


def test_each_place_attends_to_itself_over_time():
    temporal, x = fill(TemporalAttention(16, 2)), torch.randn(8, 5, 16)
    reference = nn.MultiheadAttention(16, 2, batch_first=True)
    reference.load_state_dict(temporal.attn.state_dict())
    place = temporal.ln(x[4:, 3][None])  # the third patch of the second clip's four frames
    expected = x[4:, 3] + temporal.fc(reference(place, place, place)[0][0])
    torch.testing.assert_close(temporal(x, 4)[4:, 3], expected)


def test_the_class_token_passes_through_temporal_attention():
    temporal, x = fill(TemporalAttention(16, 2)), torch.randn(4, 5, 16)
    assert torch.equal(temporal(x, 4)[:, 0], x[:, 0])


@pytest.mark.parametrize('class_token', ['clip', 'frame'])
def test_order_matters_through_the_time_positions_alone(class_token):
    backbone = fill(build(class_token=class_token)).eval()
    video = toy_clips(batch=1)
    assert not torch.allclose(backbone(video), backbone(video.flip(2)), atol=1e-3)
    nn.init.zeros_(backbone.time_embed)
    torch.testing.assert_close(backbone(video), backbone(video.flip(2)))


def test_sharing_gives_every_frame_of_a_clip_the_mean_token_and_leaves_patches():
    x = torch.randn(6, 5, 16)
    out = share_over_time(x, 3, 1)
    torch.testing.assert_close(out[0, 0], x[:3, 0].mean(dim=0))
    torch.testing.assert_close(out[5, 0], x[3:, 0].mean(dim=0))
    assert torch.equal(out[:, 1:], x[:, 1:])


def test_a_frozen_trunk_leaves_the_temporal_part_to_be_tuned():
    tuned = {n.split('.')[0] for n, p in build().named_parameters() if p.requires_grad}
    assert tuned == {'time_embed', 'temporal'}


def test_partial_tuning_records_nothing_below_the_last_block():
    backbone = build(dict(tune='last_1'), blocks='last_1')
    seen = []
    for block in backbone.trunk.blocks:
        block.ln_1.register_forward_pre_hook(lambda _, args: seen.append(args[0].requires_grad))
    backbone(toy_clips()).sum().backward()
    assert seen == [False, False, True]


def test_other_clip_lengths_take_the_nearest_positions():
    table = torch.arange(4.0)[:, None]
    assert time_positions(table, 8)[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert time_positions(table, 2)[:, 0].tolist() == [0, 2]
    assert time_positions(table, 4) is table


def test_unknown_class_tokens_and_blocks_are_refused():
    with pytest.raises(ValueError, match=r"class_token must be one of clip, frame, got 'video'"):
        build(class_token='video')
    with pytest.raises(ValueError, match='TimeSformerViT: blocks must be'):
        build(blocks='last_9')
