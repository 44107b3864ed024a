"""Linear maps that keep what their input was made from instead of the input itself.

A normalisation or an activation is cheap, and its output, which the following linear map
keeps for its weight gradient, is as large as anything in the network. Here the map keeps
the tensors the output was made from, most of which somebody else keeps anyway, and makes
it again in the backward pass. The numbers are the same.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from .batch_norm import batch_norm, batch_norm_again
from .elementwise import layer_norm, summing_dtype
from .elementwise import linear as plain_linear
from .sync_batch_norm import is_synchronised

PIECE = 2**24  # elements of GELU(u) that exist at a time in the forward pass


class _LinearOfGELU(torch.autograd.Function):
    """linear(GELU(u)) that keeps u alone, and in backward frees GELU(u) before it makes more."""

    @staticmethod
    def forward(ctx, u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(u, weight, bias)
        ctx.dtype = working_dtype(u)
        pieces = u.flatten(0, -2).chunk(1 + u.numel() // PIECE)
        with torch.autocast(u.device.type, enabled=False):
            weight, bias = weight.to(ctx.dtype), bias.to(ctx.dtype)
            parts = [F.linear(F.gelu(piece).to(ctx.dtype), weight, bias) for piece in pieces]
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        return out.view(*u.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, weight, bias = ctx.saved_tensors
        du = dweight = dbias = None
        rows = grad.flatten(0, -2)
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.needs_input_grad[1]:
                y = F.gelu(u).to(ctx.dtype).flatten(0, -2)
                dweight = (rows.T @ y).to(weight.dtype)
                del y
            if ctx.needs_input_grad[2]:
                dbias = rows.sum(0, dtype=summing_dtype(rows)).to(bias.dtype)
            if ctx.needs_input_grad[0]:
                dy = (grad @ weight.to(grad.dtype)).to(u.dtype)
                du = torch.ops.aten.gelu_backward.grad_input(dy, u, grad_input=dy)  # in place
        return du, dweight, dbias


def working_dtype(x: Tensor) -> torch.dtype:
    """The type a matrix product of x is computed in: autocast's where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class _LinearOf(torch.autograd.Function):
    """linear(make(*inputs)) that keeps the inputs alone."""

    @staticmethod
    def forward(ctx, make: Callable, again: Callable, weight: Tensor, bias, *inputs):
        ctx.again = again
        kind = weight.device.type
        ctx.autocast = dict(
            device_type=kind,
            enabled=torch.is_autocast_enabled(kind),
            dtype=torch.get_autocast_dtype(kind),
        )
        ctx.save_for_backward(weight, bias, *inputs)
        y = make(*inputs)
        ctx.dtype = working_dtype(y)
        with torch.autocast(kind, enabled=False):
            bias = None if bias is None else bias.to(ctx.dtype)
            return F.linear(y.to(ctx.dtype), weight.to(ctx.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        weight, bias, *inputs = ctx.saved_tensors
        needed = ctx.needs_input_grad[4:]
        inputs = [x.detach().requires_grad_(n) for x, n in zip(inputs, needed, strict=True)]
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            y = ctx.again(*inputs)
        dweight = dbias = None
        rows = grad.flatten(0, -2)
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.needs_input_grad[2]:
                dweight = (rows.T @ y.detach().to(ctx.dtype).flatten(0, -2)).to(weight.dtype)
            if ctx.needs_input_grad[3]:
                dbias = rows.sum(0, dtype=summing_dtype(rows)).to(bias.dtype)
            grads = _grads(y, inputs, lambda: (grad @ weight.to(grad.dtype)).to(y.dtype))
        return None, None, dweight, dbias, *grads


def _grads(y: Tensor, inputs: list[Tensor], dy: Callable[[], Tensor]) -> list[Tensor | None]:
    """Gradients of the inputs that need one, None for the others."""
    wanted = [x for x in inputs if x.requires_grad]
    if not wanted:
        return [None] * len(inputs)
    found = iter(torch.autograd.grad(y, wanted, dy()))
    return [next(found) if x.requires_grad else None for x in inputs]


def linear_of(
    make: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    linear: nn.Linear,
    again: Callable[..., Tensor] | None = None,
) -> Tensor:
    """linear(make(*inputs)) that keeps the inputs and computes ``make`` again for backward.

    Args:
        make: cheap function giving (..., in). Whatever needs a gradient is among its
            arguments, parameters too.
        inputs: its arguments.
        linear: anything with a ``weight`` (out, in) and a ``bias`` (out,) or None.
        again: gives the same values as ``make`` without side effects, where ``make`` has
            some (running statistics); ``make`` itself by default.

    Returns:
        (..., out), in autocast's type where it is on, else in that of ``make``'s output.
    """
    if not torch.is_grad_enabled():
        return plain_linear(make(*inputs), linear.weight, linear.bias)
    return _LinearOf.apply(make, again or make, linear.weight, linear.bias, *inputs)


def norm_linear(norm: nn.Module, x: Tensor, linear: nn.Linear) -> Tensor:
    """linear(norm(x)) that keeps x alone. (..., C) -> (..., out).

    Args:
        norm: a layer norm or a batch norm. A synchronised batch norm is not computed
            twice: its output is kept.
        x: (..., C).
        linear: the map.
    """
    if is_synchronised(norm):
        return linear(batch_norm(norm, x))
    inputs = (x, norm.weight, norm.bias)
    if isinstance(norm, _BatchNorm):
        make = partial(_batch_norm, norm)
        return linear_of(make, inputs, linear, batch_norm_again(norm))
    return linear_of(partial(layer_norm, eps=norm.eps), inputs, linear)


def _batch_norm(norm: _BatchNorm, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`batch_norm` with the norm's parameters as arguments, so that they are differentiated."""
    return batch_norm(norm, x)


def gelu_linear(u: Tensor, linear: nn.Linear) -> Tensor:
    """linear(GELU(u)) that keeps u alone. (..., C) -> (..., out)."""
    if not torch.is_grad_enabled():
        return plain_linear(F.gelu(u), linear.weight, linear.bias)
    return _LinearOfGELU.apply(u, linear.weight, linear.bias)
