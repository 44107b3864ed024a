"""The largest batch: exact at its boundary, and larger with more memory."""

import pytest

from mmstadapter.planning import TrainingStep
from mmstadapter.planning.fitting import LIMIT, largest_batch

from .test_account import ST_ADAPTER, config

LINES = [
    lambda n: 100 + 7 * n,
    lambda n: max(1000, 10 * n),  # what does not depend on the batch is larger at first
    lambda n: 50 + 8 * n + 64 * (n // 8),  # portions
    lambda n: n * n,
]


@pytest.mark.parametrize('peak', LINES)
@pytest.mark.parametrize('start', [1, 8, 500])
@pytest.mark.parametrize('memory', [99, 107, 999, 1000, 1009.9, 1010, 5000])
def test_one_more_would_not_fit(peak, start, memory):
    n = largest_batch(peak, memory, start)
    assert n == max([k for k in range(1, LIMIT + 1) if peak(k) <= memory], default=0)


def test_few_are_looked_at():
    asked = []
    assert largest_batch(lambda n: asked.append(n) or 100 + 7 * n, 24_000, 32) == 3414
    assert len(asked) <= 6


def test_nobody_needs_more_than_the_limit():
    assert largest_batch(lambda n: 1, 10) == LIMIT


@pytest.mark.slow
def test_more_memory_never_takes_fewer_videos():
    step = TrainingStep(config(ST_ADAPTER))
    at = step.account(5).peak
    sizes = [step.largest(memory) for memory in (at - 1, at, at + 1, 2 * at)]
    assert sizes[:3] == [4, 5, 5] and sizes == sorted(sizes)
