"""The types in which numbers are multiplied and added up."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for x; it knows no tensors without storage."""
    kind = x.device.type
    return kind != 'meta' and torch.is_autocast_enabled(kind)


def working_dtype(x: Tensor) -> torch.dtype:
    """The type a matrix product of x is computed in: autocast's where it is on."""
    return torch.get_autocast_dtype(x.device.type) if autocasts(x) else x.dtype


def summing_dtype(x: Tensor) -> torch.dtype:
    """The type in which many values of x are added up: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def in_full(device: torch.device) -> AbstractContextManager:
    """Without autocast, on devices that have it."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def as_now(x: Tensor) -> Callable[[], AbstractContextManager]:
    """Makes contexts with or without autocast, as it is now for x."""
    if not autocasts(x):
        return partial(in_full, x.device)
    kind = x.device.type
    return partial(torch.autocast, kind, dtype=torch.get_autocast_dtype(kind))
