"""The types in which numbers are multiplied and added up."""

import torch
from torch import Tensor


def working_dtype(x: Tensor) -> torch.dtype:
    """The type a matrix product of x is computed in: autocast's where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def summing_dtype(x: Tensor) -> torch.dtype:
    """The type in which many values of x are added up: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)
