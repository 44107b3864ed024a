"""Batch normalisation of token tensors, whose channels come last.

The modules are plain ``nn.BatchNorm1d``, so that whatever turns a model's batch norms into
synchronised ones finds them; the functions here call them on (..., C).
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Normalise over all axes but the last: clips, frames and places jointly.

    The same numbers as BatchNorm3d on (B, C, T, h, w). In training the running statistics
    are updated.

    Args:
        norm: an ``nn.BatchNorm1d`` of C channels, or a synchronised one.
        x: (..., C).

    Returns:
        (..., C), same dtype.

    Raises:
        ValueError: in training, if there is one value a channel, whose variance is zero.
    """
    if norm.training and x.numel() <= x.shape[-1]:
        raise ValueError(
            'BatchNorm: training needs more than one value a channel, got '
            f'{x[..., 0].numel()} (a tensor of frames, patches and channels {tuple(x.shape)}). '
            'Train on more clips, more frames or larger images.'
        )
    return norm(x.flatten(0, -2)).view_as(x)


def batch_norm_again(norm: _BatchNorm) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A function that gives what `batch_norm` gives now, without touching running statistics.

    Whatever becomes of the module's mode and statistics in the meantime.

    Args:
        norm: the module.

    Returns:
        Function of x (..., C) and of the module's weight and bias, as tensors to be
        differentiated.
    """
    training, eps = norm.training, norm.eps
    mean = None if training else norm.running_mean.clone()
    var = None if training else norm.running_var.clone()

    def again(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = F.batch_norm(x.flatten(0, -2), mean, var, weight, bias, training=training, eps=eps)
        return rows.view_as(x)

    return again


def contexts_of_recomputation(module: nn.Module) -> tuple:
    """Around a layer's first and second computation: ``context_fn`` of PyTorch's checkpoints."""
    return nullcontext(), BatchNormsAsNow(module)


class BatchNormsAsNow:
    """A context in which a module's batch norms are as they were when it was made.

    For computing a layer a second time, as activation checkpointing does: in the mode and
    with the running statistics of the first time, whatever became of them since, and
    without leaving a trace. It may be entered several times.

    Args:
        module: the layer.
    """

    def __init__(self, module: nn.Module) -> None:
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
        self.then = [(m, m.training, {n: b.clone() for n, b in m.named_buffers()}) for m in norms]

    def __enter__(self) -> None:
        self.found = [(m, m.training, dict(m.named_buffers())) for m, *_ in self.then]
        _put_back(self.then)

    def __exit__(self, *error) -> None:
        _put_back(self.found)


def _put_back(states: list[tuple[_BatchNorm, bool, dict[str, Tensor]]]) -> None:
    """Give batch norms a mode and buffers."""
    for norm, training, buffers in states:
        norm.training = training
        for name, buffer in buffers.items():
            setattr(norm, name, buffer)
