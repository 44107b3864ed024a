"""The released Side4Video data recipes, from the configs, on real files."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from PIL import Image

from .conftest import write_frames, write_video

pytestmark = pytest.mark.slow

BASES = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
RELEASED = dict(  # classes, videos a GPU, clips of each, views in testing
    k400_s4v=(400, 32, 1, 12), ssv1=(174, 16, 2, 6), ssv2_s4v=(174, 16, 2, 6)
)
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture(params=RELEASED)
def recipe(request, tmp_path):
    config = Config.fromfile(BASES / f'{request.param}.py')
    if request.param == 'ssv1':
        write_frames(tmp_path / 'a', 40, size=(100, 132))
        write_frames(tmp_path / 'b', 9, size=(100, 76))
        write_frames(tmp_path / 'c', 5, size=(100, 132))
        text = 'a 40 86\nb 9 5\nc 5 94\n'
    else:
        write_video(tmp_path / 'a.mp4', frames=40, size=(72, 96))
        write_video(tmp_path / 'b.mkv', frames=9, size=(96, 72))
        text = 'a.mp4 86\nb.mkv 5\n'
    (tmp_path / 'list.txt').write_text(text)
    for name in LOADERS:
        config[name].dataset.ann_file = str(tmp_path / 'list.txt')
        config[name].dataset.data_prefix.video = str(tmp_path)
    config.name = request.param
    config.folder = str(tmp_path)
    return config


def test_training_gives_the_released_clips(recipe):
    data = DATASETS.build(recipe.train_dataloader.dataset)
    copies = data[0] if recipe.name != 'k400_s4v' else [data[0]]
    assert len(copies) == RELEASED[recipe.name][2]
    for copy in copies:
        assert copy['inputs'].shape == (1, 3, 8, 224, 224)
        assert copy['inputs'].dtype == torch.uint8


def test_validation_is_one_view_and_testing_all_of_them(recipe):
    for loader, views in ((LOADERS[1], 1), (LOADERS[2], RELEASED[recipe.name][3])):
        data = DATASETS.build(recipe[loader].dataset)
        for sample in data:
            assert sample['inputs'].shape == (views, 3, 8, 224, 224)
        assert torch.equal(data[0]['inputs'], data[0]['inputs'])


def test_views_are_squares_outside_and_clips_inside(recipe):
    """View s·V + v is clip v cut at place s, which lies left, right, middle."""
    config = recipe.test_dataloader.dataset
    views = DATASETS.build(config)[0]['inputs']
    clips = config.pipeline[1].num_views
    whole = [s for s in config.pipeline if s.type != 'mmstadapter.SpatialViews']
    frames = DATASETS.build(config | dict(pipeline=whole))[0]['inputs']  # (V, 3, T, H, W)
    height, width = frames.shape[-2:]
    assert height == 256 and width == (341 if recipe.name == 'k400_s4v' else 320)
    q = (width - 224) // 4
    for place, left in enumerate((0, 4 * q, 2 * q)):
        for clip in range(clips):
            part = frames[clip, ..., 16:240, left : left + 224]
            assert torch.equal(views[place * clips + clip], part)


def test_short_folders_are_left_out_but_for_testing(recipe):
    lengths = [len(DATASETS.build(recipe[name].dataset)) for name in LOADERS]
    assert lengths == ([2, 2, 3] if recipe.name == 'ssv1' else [2, 2, 2])


def test_loaders_are_the_released_ones(recipe):
    train, val, test = (recipe[name] for name in LOADERS)
    classes, batch, copies, _ = RELEASED[recipe.name]
    assert (train.batch_size, val.batch_size, test.batch_size) == (batch, batch, 1)
    assert train.dataset.num_sample == copies
    assert train.collate_fn == dict(type='mmstadapter.flat_collate')
    assert train.sampler.shuffle and not val.sampler.shuffle and not test.sampler.shuffle
    assert val.dataset.test_mode and test.dataset.test_mode and 'test_mode' not in train.dataset
    assert {loader.dataset.num_classes for loader in (train, val, test)} == {classes}
    assert 'drop_last' not in train


def test_only_kinetics_turns_grey_and_only_something_something_is_augmented_at_random(recipe):
    kinds = [step.type for step in recipe.train_dataloader.dataset.pipeline]
    kinetics = recipe.name == 'k400_s4v'
    assert ('mmstadapter.RandomGrey' in kinds) == kinetics
    assert ('mmstadapter.RandAugment' in kinds) == (not kinetics)
    (flip,) = [s for s in recipe.train_dataloader.dataset.pipeline if s.type == 'Flip']
    assert flip.flip_ratio == 0.5 and ('flip_label_map' in flip) == (not kinetics)


def test_frames_and_videos_give_the_same_clips(recipe, tmp_path):
    """The pipelines read either; here the frames of a video, stored without loss."""
    if recipe.name == 'ssv1':
        source = tmp_path / 'a'
    else:
        source = tmp_path / 'stored'
        source.mkdir()
        plain = dict(
            recipe.test_dataloader.dataset, pipeline=recipe.val_dataloader.dataset.pipeline[:1]
        )
        reader = DATASETS.build(plain).pipeline(dict(filename=str(tmp_path / 'a.mp4')))
        for number, image in enumerate(reader['video_reader'].read(range(40)), 1):
            Image.fromarray(image).save(source / f'img_{number:05}.png')
    (tmp_path / 'frames.txt').write_text(f'{source.name} 40 86\n')
    stored = dict(
        type='mmstadapter.RawframeDataset',
        ann_file=str(tmp_path / 'frames.txt'),
        filename_tmpl='{:05}.jpg' if recipe.name == 'ssv1' else 'img_{:05}.png',
    )
    for name in LOADERS:
        clips = []
        for config in (recipe[name].dataset, recipe[name].dataset | stored):
            np.random.seed(5)
            random.seed(5)
            item = DATASETS.build(config)[0]
            clips.append(
                [c['inputs'] for c in item] if isinstance(item, list) else [item['inputs']]
            )
        assert all(map(torch.equal, *clips))
