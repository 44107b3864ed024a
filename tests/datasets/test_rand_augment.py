"""RandAugment gives the pictures that timm gives, and the same to all frames of a clip."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mmstadapter import RandAugment
from mmstadapter.datasets.rand_augment import OPERATIONS, _apply

REFERENCE = json.loads((Path(__file__).parents[1] / 'reference' / 'rand_augment.json').read_text())


def picture(height: int = 60, width: int = 90) -> np.ndarray:
    """Integer arithmetic only, so that it is the same everywhere."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing='ij')
    values = x * y // 7 + x * 5 * (c + 1) + y * 3 + (x // 15 * y // 12) * 40
    return (values % 200 + 20).astype(np.uint8)


def numbers(image: np.ndarray) -> list[float]:
    """The mean, and a mean whose weights depend on the place."""
    image = image.astype(float)
    weights = np.arange(image.size).reshape(image.shape) % 97
    return [image.mean(), (image * weights).mean() / 48]


def test_there_are_fifteen_operations():
    assert len(OPERATIONS) == len(REFERENCE['operations']) == 15


@pytest.mark.parametrize(
    ('ours', 'timms'), list(zip(OPERATIONS, REFERENCE['operations'], strict=True))
)
@pytest.mark.parametrize('seed', [0, 1])
def test_operations_are_timms(ours, timms, seed):
    random.seed(seed)
    amount, operation = OPERATIONS[ours]
    image = _apply([(operation, amount(7.3 / 10))], picture())
    np.testing.assert_allclose(numbers(image), REFERENCE['operations'][timms][seed], atol=0.01)


@pytest.mark.parametrize('seed', range(20))
def test_draws_are_timms(seed):
    random.seed(seed)
    np.random.seed(seed)
    (image,) = RandAugment('rand-m7-n4-mstd0.5-inc1').transform(dict(imgs=[picture()]))['imgs']
    np.testing.assert_allclose(numbers(image), REFERENCE['policy'][seed], atol=0.01)


def test_all_frames_of_a_clip_are_changed_alike():
    for seed in range(30):
        random.seed(seed)
        np.random.seed(seed)
        one, two, three = RandAugment().transform(dict(imgs=[picture()] * 3))['imgs']
        assert (one == two).all() and (two == three).all()


def test_frames_keep_size_and_type_and_the_input_is_left_alone():
    image = picture()
    for seed in range(30):
        random.seed(seed)
        (changed,) = RandAugment().transform(dict(imgs=[image]))['imgs']
        assert changed.shape == image.shape and changed.dtype == np.uint8
    assert (image == picture()).all()


def test_half_of_the_draws_are_applied():
    random.seed(0)
    np.random.seed(0)
    counts = [len(RandAugment()._draw()) for _ in range(2000)]
    assert abs(np.mean(counts) - 2) < 0.1


def test_the_strongest_level_works_for_every_operation():
    for amount, operation in OPERATIONS.values():
        assert _apply([(operation, amount(1.0))], picture()).shape == (60, 90, 3)


@pytest.mark.parametrize(
    'policy',
    ['', 'rand', 'rand-m7-n4', 'rand-m7-n4-inc0', 'rand-m11-n4-inc1', 'rand-m7-n4-w0-inc1'],
)
def test_other_policies_are_refused(policy):
    with pytest.raises(ValueError, match="like 'rand-m7-n4-mstd0.5-inc1'"):
        RandAugment(policy)


def test_float_frames_are_refused():
    with pytest.raises(ValueError, match='needs uint8 frames, got float32'):
        RandAugment().transform(dict(imgs=[picture().astype(np.float32)]))
