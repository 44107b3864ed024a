"""Attentive pooling: what the learned query reads, and what it cannot see."""

import torch
from torch import nn

from mmstadapter.models import AttentionPool, AttnPoolViT, FrameMeanViT
from mmstadapter.testing import fill, tiny_trunk, toy_clips


def test_it_equals_pytorchs_attention_read_at_the_class_token():
    pool, frames = fill(AttentionPool(16, 2)), torch.randn(3, 5, 16)
    reference = nn.MultiheadAttention(16, 2, batch_first=True)
    reference.load_state_dict(pool.attn.state_dict())
    query = pool.query.expand(3, 1, 16)
    x = pool.ln(torch.cat([query, frames], dim=1))
    expected = query + reference(x[:, :1], x, x, need_weights=False)[0]
    torch.testing.assert_close(pool(frames), expected[:, 0])


def test_frames_are_weighed_rather_than_averaged():
    pool = fill(AttentionPool(16, 2), scale=1.0)
    frames = torch.randn(1, 4, 16)
    same_mean = frames.mean(dim=1, keepdim=True).expand_as(frames)
    assert not torch.allclose(pool(frames), pool(same_mean), atol=1e-2)


def test_the_order_of_frames_does_not_matter():
    backbone, video = fill(AttnPoolViT(trunk=tiny_trunk())).eval(), toy_clips()
    torch.testing.assert_close(backbone(video), backbone(video.flip(2)))


def test_it_reads_the_features_that_the_image_model_gives_each_frame():
    backbone, seen = fill(AttnPoolViT(trunk=tiny_trunk())).eval(), []
    backbone.pool.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    video = toy_clips(batch=1)
    backbone(video)
    single = FrameMeanViT(trunk=tiny_trunk()).eval()
    single.trunk.load_state_dict(backbone.trunk.state_dict())
    frames = torch.cat([single(video[:, :, t : t + 1]) for t in range(4)])
    torch.testing.assert_close(seen[0][0], frames)


def test_nothing_is_recorded_in_the_frozen_trunk():
    backbone, seen = AttnPoolViT(trunk=tiny_trunk()), []
    backbone.pool.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    backbone(toy_clips())
    assert not seen[0].requires_grad
