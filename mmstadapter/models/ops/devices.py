"""Whose form of an operator runs: that of the device a tensor is on, unless another is assumed."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

_assumed: str | None = None


def device_of(x: Tensor) -> str:
    """``'cpu'``, ``'cuda'`` or whatever x is on, by which the form of an operator is chosen."""
    return _assumed or x.device.type


@contextmanager
def forms_of(device: str) -> Iterator[None]:
    """Run the forms of a device on tensors of another, to account for them without it.

    Args:
        device: ``'cpu'`` or ``'cuda'``.
    """
    global _assumed
    before, _assumed = _assumed, device
    try:
        yield
    finally:
        _assumed = before
