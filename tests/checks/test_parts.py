"""What the first batch would find out about the parts of a model is said when it is built."""

import re

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config

from mmstadapter.checks import ConfigError, check_built
from mmstadapter.checks.fitting_parts import crop_size, unfitting_clips, unfitting_parts
from mmstadapter.testing import tiny_trunk

NEIGHBOURS = dict(type='mmstadapter.AddNeighbours')
CROP = dict(type='mmstadapter.RandomSquare', size=32)


def recogniser(width: int = 32, backbone: str = 'STAdapterViT', **options):
    return MODELS.build(
        dict(
            type='Recognizer3D',
            backbone=dict(type=f'mmstadapter.{backbone}', trunk=tiny_trunk(), **options),
            cls_head=dict(type='mmstadapter.VideoHead', in_channels=width, num_classes=2),
        )
    )


def test_a_head_of_another_width_than_the_trunk_is_refused_with_the_right_one():
    with pytest.raises(ConfigError, match='in_channels: must be the 32 .* got 48. Set it to 32'):
        check_built(recogniser(48), Config({}), [])
    check_built(recogniser(32), Config({}), [])


def test_a_side_network_gives_its_own_width():
    side = dict(backbone='Side4VideoViT', side_dims=64)
    assert list(unfitting_parts(recogniser(64, **side))) == []
    assert 'must be the 64' in next(unfitting_parts(recogniser(32, **side)))


def test_each_head_of_several_tasks_is_compared_with_its_branch():
    branches = dict(a=dict(type='mmstadapter.SideNetwork', side_dims=64))
    branches['b'] = dict(type='mmstadapter.FrameMean')
    head = dict(type='mmstadapter.VideoHead', in_channels=64, num_classes=2)
    model = MODELS.build(
        dict(
            type='Recognizer3D',
            backbone=dict(type='mmstadapter.SharedTrunkViT', trunk=tiny_trunk(), branches=branches),
            cls_head=dict(type='mmstadapter.MultiTaskHead', heads=dict(a=head, b=head)),
        )
    )
    (said,) = unfitting_parts(model)
    assert said.startswith('model.cls_head.heads.b.in_channels: must be the 32')


def test_frames_of_another_size_than_the_trunks_are_refused():
    loader = dict(dataset=dict(pipeline=[dict(CROP, size=48)]))
    said = list(unfitting_clips(recogniser(), dict(train_dataloader=loader), 'train'))
    assert 'must be (32, 32) pixels' in said[0] and '(48, 48)' in said[0]
    loader = dict(dataset=dict(pipeline=[CROP]))
    assert list(unfitting_clips(recogniser(), dict(train_dataloader=loader), 'train')) == []


def test_a_size_that_a_later_step_changes_is_not_known():
    assert crop_size([CROP, dict(type='Flip')]) == (32, 32)
    assert crop_size([CROP, dict(type='Resize', scale=(48, 48), keep_ratio=False)]) is None
    assert crop_size([dict(type='ThreeCrop', crop_size=48)]) == (48, 48)


@pytest.mark.parametrize(
    'backbone, step, said',
    [
        (
            'TDSCLIPViT',
            [],
            'groups of 5 frames around the sampled ones, got groups of 1. Put',
        ),
        ('TDSCLIPViT', [dict(NEIGHBOURS, num_diff=3)], 'got groups of 3. Put dict.*num_diff=5'),
        ('STAdapterViT', [NEIGHBOURS], 'takes the sampled frames alone, got groups of 5. Take'),
    ],
)
def test_frames_around_the_sampled_ones_are_those_that_the_backbone_looks_at(backbone, step, said):
    model = recogniser(backbone=backbone)
    loaders = dict(val_dataloader=dict(dataset=dict(pipeline=[CROP, *step])))
    (found,) = unfitting_clips(model, loaders, 'val')
    assert re.search(said, found) and found.startswith('val_dataloader.dataset.pipeline: ')


def test_groups_that_fit_are_not_spoken_of():
    loaders = dict(val_dataloader=dict(dataset=dict(pipeline=[CROP, NEIGHBOURS])))
    assert not list(unfitting_clips(recogniser(320, 'TDSCLIPViT'), loaders, 'val'))
    assert not list(unfitting_clips(recogniser(320, 'TDSCLIPViT'), {}, 'val'))
