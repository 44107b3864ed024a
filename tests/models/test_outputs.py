"""What backbones take, and the joint vector a frame that retrieval reads of them."""

import pytest
import torch

from mmstadapter import FrameMeanViT, STAdapterViT
from mmstadapter.models.ops.clips import images_of
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


def test_images_are_the_clips_frames_in_order():
    video = toy_clips(2, 3)
    assert torch.equal(images_of(video)[4], video[1, :, 1])


@pytest.mark.parametrize('shape', [(2, 3, 32, 32), (2, 4, 3, 32, 32), (2, 1, 3, 4, 32, 32)])
@pytest.mark.parametrize('backbone', [FrameMeanViT, STAdapterViT])
def test_what_is_no_batch_of_clips_is_refused(backbone, shape):
    with pytest.raises(ValueError, match=r'clips must be \(B, 3, T, H, W\)'):
        backbone(trunk=tiny_trunk())(torch.zeros(shape))
