"""From which score on a label is believed: calibrated on the validation set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

NONE = 'none of these'
FRACTION = 0.05  # of the validation clips that are called none of these, though they are one


def calibrated(best: Sequence[float] | np.ndarray, fraction: float = FRACTION) -> dict[str, Any]:
    """The threshold for an adapter file: so many of the validation clips lie below it, no more.

    Args:
        best: the highest score (softmax) of each validation clip.
        fraction: the share of them that may lie below, in [0, 1).

    Returns:
        ``below`` (a best score below this means none of these), ``fraction`` and ``clips``.

    Raises:
        ValueError: for no clips, scores outside [0, 1] or a fraction outside [0, 1).
    """
    scores = np.asarray(best, np.float64)
    if not 0 <= fraction < 1:
        raise ValueError(f'none of these: the fraction must lie in [0, 1), got {fraction}.')
    if not scores.size or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            'none of these: needs the best score, in [0, 1], of a validation clip or more, got '
            f'{scores.size} from {scores.min(initial=np.inf):g} to {scores.max(initial=-np.inf):g}.'
        )
    below = float(np.quantile(scores, fraction, method='lower'))
    return dict(below=below, fraction=fraction, clips=int(scores.size))


def threshold_of(header: dict[str, Any], path: str) -> float:
    """The threshold that an adapter file's metadata hold; 0.0 if none."""
    below = header.get('none_of_these', {}).get('below', 0.0)
    if not isinstance(below, int | float) or not 0 <= below <= 1:
        raise ValueError(
            f'{path}: its none_of_these.below must lie in [0, 1], got {below!r}. Publish it again, '
            'or give none_below.'
        )
    return float(below)
