"""The released data recipes, from the configs, on real files."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config

from .conftest import write_video

BASES = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


@pytest.fixture(params=['k400', 'ssv2'])
def recipe(request, tmp_path):
    config = Config.fromfile(BASES / f'{request.param}.py')
    write_video(tmp_path / 'a.mp4', frames=150, size=(72, 96))
    write_video(tmp_path / 'b.avi', frames=20, size=(96, 72))
    (tmp_path / 'list.txt').write_text('a.mp4 3\nb.avi 5\n')
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.ann_file = str(tmp_path / 'list.txt')
        loader.dataset.data_prefix.video = str(tmp_path)
    config.name = request.param
    return config


def test_training_gives_one_clip(recipe):
    for sample in DATASETS.build(recipe.train_dataloader.dataset):
        assert sample['inputs'].shape == (1, 3, 8, 224, 224)
        assert sample['inputs'].dtype == torch.float32


def test_testing_gives_three_views(recipe):
    for sample in DATASETS.build(recipe.test_dataloader.dataset):
        assert sample['inputs'].shape == (3, 3, 8, 224, 224)


def test_testing_is_the_same_each_time(recipe):
    data = DATASETS.build(recipe.test_dataloader.dataset)
    assert torch.equal(data[0]['inputs'], data[0]['inputs'])


def test_loaders_are_the_released_ones(recipe):
    train, val = recipe.train_dataloader, recipe.val_dataloader
    assert (train.batch_size, val.batch_size) == (64, 1)
    assert train.sampler.shuffle and not val.sampler.shuffle
    assert val.dataset.test_mode and val.dataset.pipeline == recipe.test_dataloader.dataset.pipeline
    assert 'drop_last' not in train
    assert train.dataset.num_classes == {'k400': 400, 'ssv2': 174}[recipe.name]


def test_only_kinetics_is_mirrored_and_only_something_something_augmented(recipe):
    kinds = [step.type for step in recipe.train_dataloader.dataset.pipeline]
    assert ('Flip' in kinds) == (recipe.name == 'k400')
    assert ('mmstadapter.RandAugment' in kinds) == (recipe.name == 'ssv2')
