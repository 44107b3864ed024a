"""What the extras that look at many queries at once have in common."""

import math

from torch import Tensor


def check_finite(who: str, scores: Tensor) -> None:
    """Raise ValueError unless `scores` is a matrix of finite numbers."""
    if scores.dim() != 2 or not scores.isfinite().all():
        raise ValueError(
            f'{who}: a matrix of finite scores is needed, got {tuple(scores.shape)} with '
            f'{int((~scores.isfinite()).sum())} that are not finite.'
        )


def check_factor(who: str, name: str, factor: float) -> None:
    """Raise ValueError unless what scores are multiplied by is a positive, finite number."""
    if not 0 < factor < math.inf:
        raise ValueError(f'{who}: {name} must be a positive, finite number, got {factor}.')
