"""Prompt tuning: it is VPT-Deep, without the parts whose result is thrown away."""

import pytest
import torch
from einops import rearrange

from mmstadapter.models import PromptViT
from mmstadapter.testing import fill, tiny_trunk, toy_clips


def build(**options) -> PromptViT:
    return fill(PromptViT(trunk=tiny_trunk(), **dict(num_prompts=3) | options)).eval()


def test_it_equals_prompts_behind_the_class_token_replaced_at_every_block():
    backbone, video = build(), toy_clips(batch=2, num_frames=4)
    x = backbone.trunk.embed(rearrange(video, 'b c t h w -> (b t) c h w'))
    for block, prompts in zip(backbone.trunk.blocks, backbone.prompts, strict=True):
        x = block(torch.cat([x[:, :1], prompts.expand(len(x), -1, -1), x[:, 1:]], dim=1))
        x = torch.cat([x[:, :1], x[:, 4:]], dim=1)
    feature = backbone.trunk.final_norm(x[:, 0].unflatten(0, (2, 4)).mean(dim=1))
    torch.testing.assert_close(backbone(video), feature)


def test_the_order_of_frames_does_not_matter():
    backbone, video = build(), toy_clips()
    torch.testing.assert_close(backbone(video), backbone(video.flip(2)))


@pytest.mark.parametrize('block', [0, 1, 2])
def test_every_block_has_prompts_of_its_own(block):
    backbone, video = build(), toy_clips()
    before = backbone(video)
    with torch.no_grad():
        backbone.prompts[block].neg_()  # a constant would vanish in the norm
    assert not torch.allclose(backbone(video), before, atol=1e-3)


def test_all_prompts_learn_from_the_first_step():
    backbone = PromptViT(trunk=tiny_trunk(), num_prompts=3)
    backbone(toy_clips()).square().sum().backward()
    assert (backbone.prompts.grad.abs().amax(dim=2) > 0).all()


def test_no_prompts_are_refused():
    with pytest.raises(ValueError, match='num_prompts must be positive, got 0'):
        build(num_prompts=0)
