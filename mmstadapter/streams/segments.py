"""Scores over time become segments: a high score opens one, a low one closes it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Segment(NamedTuple):
    """A label from a time to another, in seconds; its mean and its highest score."""

    start: float
    end: float
    label: str
    score: float
    peak: float


def check_thresholds(high: float, low: float, shortest: float) -> None:
    """Raise ValueError unless 0 < low <= high <= 1 and shortest >= 0."""
    if not (0 < low <= high <= 1 and shortest >= 0):
        raise ValueError(
            'timeline: thresholds must be 0 < low <= high <= 1 and the shortest segment 0 seconds '
            f'or more, got low={low}, high={high}, shortest={shortest}.'
        )


def bounds_of(windows: Sequence[tuple[float, float]], end: float) -> np.ndarray:
    """The time that each of n windows speaks for: half way to its neighbours' middles, (n + 1,)."""
    middles = np.array([(start + stop) / 2 for start, stop in windows])
    return np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [end]])


def merged(
    scores: np.ndarray,
    bounds: np.ndarray,
    labels: Sequence[str],
    high: float,
    low: float,
    shortest: float,
) -> list[Segment]:
    """Segments of every class by themselves, in order of time; those of two may overlap.

    Args:
        scores: (n, classes) of n windows.
        bounds: (n + 1,), of :func:`bounds_of`.
        labels: of the classes.
        high: a segment opens where the score is at least that,
        low: and closes before the first window below that.
        shortest: seconds; shorter ones are left out.
    """
    found = []
    for column, label in zip(scores.T, labels, strict=True):
        for first, stop in runs(column, high, low):
            start, end = float(bounds[first]), float(bounds[stop])
            if end - start >= shortest - 1e-9:
                part = column[first:stop]
                found.append(Segment(start, end, label, float(part.mean()), float(part.max())))
    return sorted(found)


def runs(scores: np.ndarray, high: float, low: float) -> Iterator[tuple[int, int]]:
    """From and to (exclusive) of the stretches that ``high`` opens and ``low`` closes."""
    opened = None
    for i, score in enumerate(scores):
        if opened is None and score >= high:
            opened = i
        elif opened is not None and score < low:
            yield opened, i
            opened = None
    if opened is not None:
        yield opened, len(scores)
