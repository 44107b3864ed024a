"""The released data recipes of the comparators, from the configs, on real files."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config

from .conftest import write_video

pytestmark = pytest.mark.slow

BASES = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
# classes, clips a GPU, frames, views in testing
RELEASED = dict(
    k400_aim=(400, 8, 8, 3),
    k700=(700, 8, 8, 9),
    ssv2_aim=(174, 8, 8, 3),
    diving48=(48, 8, 32, 3),
    k400_zeroi2v=(400, 8, 8, 3),
    ssv2_zeroi2v=(174, 4, 16, 3),
    ucf101_zeroi2v=(101, 16, 8, 3),
    hmdb51_zeroi2v=(51, 16, 8, 3),
    k400_evl=(400, 32, 8, 3),
    ssv2_evl=(174, 32, 8, 3),
    k400_dist=(400, 32, 16, 3),
    ssv2_dist=(174, 32, 16, 3),
)
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


BILINEAR = ('k400_evl', 'ssv2_evl', 'k400_dist', 'ssv2_dist')  # whose values are no levels


@pytest.fixture(params=RELEASED)
def recipe(request, tmp_path):
    config = Config.fromfile(BASES / f'{request.param}.py')
    write_video(tmp_path / 'a.mp4', frames=40, size=(72, 96))
    write_video(tmp_path / 'b.mkv', frames=5, size=(96, 72))
    (tmp_path / 'list.txt').write_text('a.mp4 46\nb.mkv 5\n')
    for name in LOADERS:
        config[name].dataset.ann_file = str(tmp_path / 'list.txt')
        config[name].dataset.data_prefix.video = str(tmp_path)
    dtype = torch.float32 if request.param in BILINEAR else torch.uint8
    return config, (*RELEASED[request.param], dtype)


def test_its_loaders_give_the_released_clips(recipe):
    config, (classes, batch, frames, views, dtype) = recipe
    assert config.train_dataloader.batch_size == batch
    validated = views if dtype == torch.float32 else 1  # by the test protocol, or one square
    for loader, number in zip(LOADERS, (1, validated, views), strict=True):
        data = DATASETS.build(config[loader].dataset)
        assert config[loader].dataset.num_classes == classes
        for sample in data:
            assert sample['inputs'].shape == (number, 3, frames, 224, 224)
            assert sample['inputs'].dtype == dtype


def test_testing_is_the_same_every_time(recipe):
    data = DATASETS.build(recipe[0].test_dataloader.dataset)
    assert torch.equal(data[0]['inputs'], data[0]['inputs'])


def test_dists_clips_may_be_made_grey(recipe):
    config, _ = recipe
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'mmstadapter.RandomGrey':
            step.p = 1
            (clip,) = DATASETS.build(config.train_dataloader.dataset)[0]['inputs']
            assert torch.equal(clip[0], clip[1]) and torch.equal(clip[0], clip[2])


@pytest.mark.parametrize('stem', ['ssv2_zeroi2v', 'ssv2_dist'])
def test_mirrored_clips_of_something_something_change_sides(stem):
    config = Config.fromfile(BASES / f'{stem}.py')
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    sides = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}
    assert steps['Flip'].flip_label_map == sides
