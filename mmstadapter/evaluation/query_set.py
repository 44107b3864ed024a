"""What the extras that look at many queries at once have in common."""

from torch import Tensor


def check_finite(who: str, scores: Tensor) -> None:
    """Raise ValueError unless `scores` is a matrix of finite numbers."""
    if scores.dim() != 2 or not scores.isfinite().all():
        raise ValueError(
            f'{who}: a matrix of finite scores is needed, got {tuple(scores.shape)} with '
            f'{int((~scores.isfinite()).sum())} that are not finite.'
        )
