"""Retrieval reads one joint vector a frame from every backbone that offers it."""

import pytest
import torch

from mmstadapter import FrameMeanViT, STAdapterViT
from mmstadapter.testing import fill, tiny_trunk, toy_clips


@pytest.mark.parametrize('backbone', [FrameMeanViT, STAdapterViT])
class TestFrames:
    def test_frames_are_clips_projected_class_tokens_at_the_start(self, backbone):
        model = backbone(trunk=tiny_trunk(with_proj=True), output='frames')
        fill(model.trunk)
        video = toy_clips(2, 3)
        trunk = model.trunk
        tokens = trunk(video.transpose(1, 2).flatten(0, 1))
        expected = (trunk.ln_post(tokens[:, 0]) @ trunk.proj).unflatten(0, (2, 3))
        torch.testing.assert_close(model(video), expected)

    def test_a_trunk_without_projection_is_refused(self, backbone):
        with pytest.raises(TypeError, match='with_proj=True'):
            backbone(trunk=tiny_trunk(), output='frames')

    def test_another_word_is_refused(self, backbone):
        with pytest.raises(ValueError, match='output must be one of clip, frames'):
            backbone(trunk=tiny_trunk(), output='video')
