"""The types in which numbers are multiplied and added up."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def working_dtype(x: Tensor) -> torch.dtype:
    """The type a matrix product of x is computed in: autocast's where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def summing_dtype(x: Tensor) -> torch.dtype:
    """The type in which many values of x are added up: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def in_full(device: torch.device) -> AbstractContextManager:
    """Without autocast, on devices that have it."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
