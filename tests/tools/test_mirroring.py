"""Whether mirror images stay in their class is tried, and in doubt nothing is mirrored."""

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from torch import nn

from mmstadapter.apis.mirroring import choose_clips, measure
from mmstadapter.testing import tiny_trunk

SIZE, FRAMES = 32, 8


@pytest.fixture(scope='module')
def encode() -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk())).eval()


def moving(index: int, velocity: float, light: float = 1.0) -> torch.Tensor:
    """A square that moves along a line, to the right if positive, in a little noise."""
    rng = np.random.default_rng(index)
    clip = 0.05 * rng.normal(size=(3, FRAMES, SIZE, SIZE))
    top, middle = rng.integers(4, 20), SIZE / 2 - 4 + rng.uniform(-2, 2)
    for t in range(FRAMES):
        left = int(middle + velocity * (t - FRAMES / 2))
        clip[:, t, top : top + 8, left : left + 8] += light
    return torch.tensor(clip, dtype=torch.float32)


def tried(encode, *kinds: dict, count: int = 12):
    labels = [c for c in range(len(kinds)) for _ in range(count)]
    names = [f'c{c}' for c in range(len(kinds))]
    return measure(lambda i: moving(i, **kinds[labels[i]]), labels, names, encode)


def test_classes_that_differ_by_direction_alone_are_not_mirrored(encode):
    found = tried(encode, dict(velocity=2), dict(velocity=-2))
    assert not found.flip and 'moves as another class when mirrored' in found.reason


def test_one_such_pair_among_clear_classes_is_enough(encode):
    clear = dict(velocity=0, light=-4)
    assert not tried(encode, clear, dict(velocity=2), dict(velocity=-2), dict(velocity=0)).flip


def test_a_difference_of_place_does_not_hide_the_direction(encode):
    """All of a class filmed in one light: what a clip shows tells the class, and so would lie."""
    found = tried(encode, dict(velocity=2, light=1), dict(velocity=-2, light=3))
    assert not found.flip


def test_classes_that_look_different_either_way_round_are_mirrored(encode):
    found = tried(encode, dict(velocity=0, light=4), dict(velocity=0, light=-4))
    assert found.flip and found.reason.startswith('mirroring: at least')


def test_classes_that_cannot_be_told_apart_are_not_mirrored(encode):
    found = tried(encode, dict(velocity=0), dict(velocity=0))
    assert not found.flip and found.reason.startswith('no mirroring')


def test_a_class_of_three_videos_is_too_small_to_try(encode):
    found = tried(encode, dict(velocity=0), dict(velocity=0, light=9), count=3)
    assert not found.flip and 'too few videos of c0' in found.reason


def test_a_few_clips_of_each_class_are_chosen():
    labels = [0] * 50 + [1] * 5
    chosen = choose_clips(labels)
    assert [sum(labels[i] == c for i in chosen) for c in (0, 1)] == [12, 5]
    assert len(choose_clips([i % 200 for i in range(2000)])) == 800
