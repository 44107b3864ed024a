"""Batch normalisation of token tensors, whose channels come last."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from .devices import device_of
from .dtypes import summing_dtype
from .recompute import Make, remakeable

ROWS = 1024  # rows that are added up at a time


class BatchNorm(nn.BatchNorm1d):
    """Normalise over all axes but the last: clips, frames and places jointly.

    The same parameters, buffers and numbers as BatchNorm3d on (B, C, T, h, w).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C), same dtype; in training the running statistics are updated.

        Raises:
            ValueError: in training, if there is one value a channel, whose variance is zero.
        """
        if self.training:
            check_count(x.numel() // x.shape[-1], x)
        if self.training and device_of(x) == 'cpu' and not torch.compiler.is_compiling():
            by_rows = self._by_rows(x.detach().flatten(0, -2))
            return remakeable(by_rows, x, self.weight, self.bias)
        again = _without_trace(self) if torch.is_grad_enabled() else None
        return remakeable(self._plain, x, self.weight, self.bias, again=again)

    def _plain(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)

    def _by_rows(self, rows: Tensor) -> Make:
        """The norm with the statistics of (R, C); PyTorch's lose two digits at 50,000 rows."""
        mean, var = row_statistics(rows)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            unbiased = var * (len(rows) / (len(rows) - 1))
            share = self.momentum or 1 / self.num_batches_tracked.item()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        return partial(_with_statistics, mean, var, self.eps)


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """norm(x), (..., C) -> (..., C), whoever has taken the norm's place.

    PyTorch's own batch norms, which conversion to synchronised ones puts in, take rows.
    """
    if isinstance(norm, _BatchNorm) and not isinstance(norm, BatchNorm):
        return norm(x.flatten(0, -2)).view_as(x)
    return norm(x)


def check_count(count: int, x: Tensor) -> None:
    """Raise ValueError if there is one value a channel, or none, to train with."""
    if count <= 1:
        raise ValueError(
            f'BatchNorm: training needs more than one value a channel, got {count} '
            f'(a tensor of frames, patches and channels {tuple(x.shape)}). '
            'Train on more clips, more frames or larger images.'
        )


def row_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and biased variance (C,) of (R, C), in float32, or float64 for such an x.

    The squares are those of deviations from the mean, added up in portions.
    """
    mean = x.mean(0, dtype=summing_dtype(x))
    squares = [(rows - mean).square_().sum(0) for rows in x.split(ROWS)]
    return mean, torch.stack(squares).sum(0) / len(x)


def _without_trace(norm: _BatchNorm) -> Make:
    """What a norm gives now, whatever becomes of its mode, leaving its statistics as they are."""
    mean, var = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    if mean is not None and not torch.compiler.is_compiling():
        mean, var = mean.clone(), var.clone()
    training, eps = norm.training, norm.eps

    def again(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = F.batch_norm(x.flatten(0, -2), mean, var, weight, bias, training=training, eps=eps)
        return rows.view_as(x)

    return again


def _with_statistics(
    mean: Tensor, var: Tensor, eps: float, x: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """(..., C) normalised with its own mean and variance. -> same."""
    return _Normalise.apply(x.flatten(0, -2), weight, bias, mean, var, eps).view_as(x)


class _Normalise(torch.autograd.Function):
    """Batch norm of (R, C) in training, given the rows' mean and variance.

    dx = (g - mean(g) - n mean(g n)) w / sigma with n = (x - mean) / sigma. PyTorch's kernel adds
    up a channel's rows one by one, and the means, which nearly vanish, come out 20 times worse.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean, var, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps))
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, scale = ctx.saved_tensors
        sums = [torch.stack([g.sum(0), g.mul(d).sum(0)]) for g, d in _portions(grad, x, mean)]
        dbias, dweight = torch.stack(sums).sum(0)
        dweight = dweight * scale
        dx, slope = torch.empty_like(x), weight * scale
        shift, tilt = -slope * dbias / len(x), -slope * scale * dweight / len(x)
        for out, (g, d) in zip(dx.split(ROWS), _portions(grad, x, mean), strict=True):
            out.copy_(torch.addcmul(torch.addcmul(shift, d, tilt), g, slope))
        return dx, dweight.to(weight.dtype), dbias.to(weight.dtype), None, None, None


def _portions(grad: Tensor, x: Tensor, mean: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """`ROWS` rows at a time of grad and of x - mean, in the mean's type."""
    for g, rows in zip(grad.split(ROWS), x.split(ROWS), strict=True):
        yield g.to(mean.dtype), rows - mean


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
