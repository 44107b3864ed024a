"""Weights must be numbers: one that is not silently makes every prediction wrong."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..printing import shown
from .errors import NoNumbers

MASK = 'mask'  # names end so where minus infinity has a meaning


def require_numbers(tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise if a tensor holds a value that is infinite or not a number.

    Takes one tensor at a time, so mapped and lazy tensors stay so. Whole numbers pass, and so
    does minus infinity in a mask, which means "do not look here".

    Args:
        tensors: weights by name.
        source: whose they are, for the message: the file.

    Raises:
        ValueError: with the number of such tensors and the first one's values.
    """
    broken = {name: count for name in tensors if (count := _count(name, tensors[name]))}
    if not broken:
        return
    first = next(iter(broken))
    raise NoNumbers(
        f'{source}: weights must be finite numbers, but {len(broken)} of {len(tensors)} tensors '
        f'hold others (infinite or NaN), the first is {shown(first)} with {broken[first]} of '
        f'{tensors[first].numel()} values. The file is damaged, or its training diverged: fetch '
        'it again, or take a checkpoint from before.'
    )


def _count(name: str, tensor: Tensor) -> int:
    """How many values are not numbers."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.is_meta:
        return 0
    if tensor.element_size() == 1:  # float8 has no isfinite
        tensor = tensor.float()
    if tensor.numel() == 0 or (tensor.is_floating_point() and _ends_are_finite(tensor)):
        return 0
    wrong = ~torch.isfinite(tensor)
    if name.endswith(MASK):
        wrong &= tensor != -torch.inf
    return int(wrong.sum())


def _ends_are_finite(tensor: Tensor) -> bool:
    """Whether all values are numbers: one that is not is the least or the largest, and 40 times
    as fast to find so on a CPU."""
    low, high = tensor.aminmax()
    return bool(low.isfinite() & high.isfinite())
