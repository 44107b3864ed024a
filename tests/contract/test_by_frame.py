"""Every backbone that looks at frames one by one gives what it gives of whole clips."""

import pytest
import torch
from mmaction.registry import MODELS

from mmstadapter.models.backbones.by_frame import ByFrame
from mmstadapter.models.ops.clips import frames_seen, images_of
from mmstadapter.testing import fill, tiny_trunk, toy_clips

from .cases import CASES, build

SEEN = [case for case in CASES if issubclass(MODELS.get(CASES[case]['type']), ByFrame)]


def test_what_needs_frames_alone_says_so():
    claimed = {CASES[case]['type'].removeprefix('mmstadapter.') for case in SEEN}
    assert claimed >= {
        'FrameMeanViT', 'AttnPoolViT', 'PromptViT', 'ProbeViT', 'EVLViT', 'DiSTViT',
        'Side4VideoViT', 'TDSCLIPViT', 'STAdapterViT',
    }  # fmt: skip


@pytest.mark.parametrize('case', SEEN)
@torch.no_grad()
def test_frames_looked_at_one_by_one_give_the_clips_features(case):
    model = fill(build(case)).eval()['backbone']
    assert model.by_frame
    clips = toy_clips(2, frames_seen(model, 5))
    images = images_of(model.looked_at(clips))
    alone = [model.look(image[None]) for image in images]
    torch.testing.assert_close(model.finish(clips, alone), model(clips), rtol=0, atol=1e-5)
    together = model.look(images)
    for kept, whole in zip(map(torch.cat, zip(*alone, strict=True)), together, strict=True):
        torch.testing.assert_close(kept, whole)  # no frame sees another


@torch.no_grad()
def test_it_is_bit_equal_where_the_clips_frames_pass_one_by_one_as_well():
    config = CASES['side4video'] | dict(trunk=tiny_trunk(), frames_per_pass=1)
    model = fill(MODELS.build(config)).eval()
    clips = toy_clips(1, 4)
    alone = [model.look(image[None]) for image in images_of(clips)]
    assert torch.equal(model.finish(clips, alone), model(clips))


def test_st_adapter_keeps_the_blocks_before_its_first_adapter():
    blocks = MODELS.build(CASES['st_adapter-last'] | dict(trunk=tiny_trunk()))
    assert blocks.shared_blocks == 2
    assert MODELS.build(CASES['st_adapter'] | dict(trunk=tiny_trunk())).shared_blocks == 0
