"""Base and novel classes: who is trained on, and the figures of both."""

import numpy as np
import pytest

from mmstadapter.base_classes import chosen_classes
from mmstadapter.evaluation import BaseToNovelMetric


def test_half_is_the_first_half_rounded_up_and_numbers_are_taken():
    assert chosen_classes('half', 5) == [0, 1, 2]
    assert chosen_classes([3, 1], 5) == [1, 3]
    for wrong in ('third', [], [0, 0], [5], [0, 1, 2, 3, 4], ['a'], [True]):
        with pytest.raises(ValueError, match=r"must be 'half' or some of the class numbers"):
            chosen_classes(wrong, 5)


def figures(scores: list, labels: list[int]) -> dict:
    metric = BaseToNovelMetric(base_classes=[0, 2], num_classes=4, metric_list=('top_k_accuracy',))
    return metric.calculate([np.array(row, dtype=float) for row in scores], labels)


def test_each_kind_is_compared_with_its_own_and_the_mean_is_harmonic():
    scores = [[3, 9, 1, 0], [3, 0, 1, 9], [9, 2, 0, 1], [9, 1, 0, 2], [9, 1, 0, 2], [9, 0, 1, 5]]
    found = figures(scores, [0, 2, 1, 1, 3, 3])
    assert found['base'] == 0.5  # class 1 has more than class 0, which is its kind's highest
    assert found['novel'] == 0.75
    assert found['harmonic'] == pytest.approx(0.6)
    assert found['top1'] == 0.0


def test_a_lost_video_is_wrong_in_its_own_kind():
    found = figures([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]], [0, 1, -2 - 1])
    assert (found['base'], found['novel']) == (1.0, 0.5)


def test_neither_kind_may_be_missing():
    with pytest.raises(ValueError, match='no video of a novel class was tested'):
        figures([[1, 0, 0, 0]], [0])
