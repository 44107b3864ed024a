"""Tensors that are made again for the backward pass instead of being kept.

A normalisation or an activation is cheap, and its output, which the linear map behind it
keeps for its weight gradient, is as large as anything in the network. So a cheap step notes
on its output what it was made from, and a `Linear` that is given such a tensor keeps that
instead, most of which somebody else keeps anyway. The numbers are the same.

Nobody has to know: a layer that has taken the place of ours, or a hook, finds an ordinary
tensor in an ordinary graph.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge

from .dtypes import as_now, in_full, summing_dtype, working_dtype
from .products import product

Make = Callable[..., Tensor]
PIECE = 2**24  # elements of GELU(u) that exist at a time in the forward pass


class Recipe(NamedTuple):
    """``make(*inputs)`` gives a tensor again, as it was at a version of its values."""

    make: Make
    inputs: tuple[Tensor, ...]
    version: int


def remakeable(step: Make, x: Tensor, *parameters: Tensor, again: Make | None = None) -> Tensor:
    """``step(x, *parameters)``, noting on the result that it can be made again from them.

    Where x can itself be made again, it is not kept either.

    Args:
        step: a cheap function. Whatever needs a gradient is among its arguments.
        x: its first argument.
        parameters: its other arguments.
        again: gives the same values without side effects, where ``step`` has some (running
            statistics); ``step`` itself by default.
    """
    y = step(x, *parameters)
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and y.requires_grad):
        return y  # a compiler decides for itself what to keep
    inputs: tuple[Tensor, ...] = (x,)
    make, before = again or step, recipe_of(x)
    if before is not None:
        make, inputs = _chain(before.make, make, len(parameters)), before.inputs
    vars(y)['recipe'] = Recipe(make, (*inputs, *parameters), y._version)
    return y


def _chain(first: Make, second: Make, num_parameters: int) -> Make:
    """second(first(*inputs), *parameters), with the parameters last."""

    def make(*given: Tensor) -> Tensor:
        split = len(given) - num_parameters
        return second(first(*given[:split]), *given[split:])

    return make


def recipe_of(x: Tensor) -> Recipe | None:
    """How x can be made again, unless it has been changed or its gradient is asked for."""
    if torch.compiler.is_compiling():
        return None
    recipe = vars(x).get('recipe')
    if recipe is None or recipe.version != x._version or x._backward_hooks or x.retains_grad:
        return None
    return recipe


def linear_of(x: Tensor, recipe: Recipe, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The linear map of x that keeps x's recipe. (..., in) -> (..., out).

    In autocast's type where it is on, else in x's.
    """
    return _LinearOf.apply(x.detach(), recipe.make, weight, bias, *recipe.inputs)


class _LinearOf(torch.autograd.Function):
    """linear(make(*inputs)), given what ``make`` gives, that keeps the inputs alone."""

    @staticmethod
    def forward(ctx, y: Tensor, make: Make, weight: Tensor, bias, *inputs: Tensor) -> Tensor:
        ctx.make, ctx.dtype, ctx.as_now = make, working_dtype(y), as_now(y)
        ctx.save_for_backward(weight, bias, *inputs)
        with in_full(y.device):
            bias = None if bias is None else bias.to(ctx.dtype)
            return product(y.to(ctx.dtype), weight.to(ctx.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        weight, bias, *inputs = ctx.saved_tensors
        needed = ctx.needs_input_grad[4:]
        inputs = [x.detach().requires_grad_(n) for x, n in zip(inputs, needed, strict=True)]
        with torch.enable_grad(), ctx.as_now():
            y = ctx.make(*inputs)
        edge, dtype = get_gradient_edge(y) if y.requires_grad else None, y.dtype
        dweight = dbias = None
        rows = grad.flatten(0, -2)
        with in_full(grad.device):
            if ctx.needs_input_grad[2]:
                y = y.detach().to(ctx.dtype).flatten(0, -2)
                dweight = product(rows.T, y.T).to(weight.dtype)
            del y  # before as much again is made
            if ctx.needs_input_grad[3]:
                dbias = rows.sum(0, dtype=summing_dtype(rows)).to(bias.dtype)
            dy = product(grad, weight.to(grad.dtype).T).to(dtype) if edge else None
            grads = _grads(edge, inputs, dy)
        return None, None, dweight, dbias, *grads


def _grads(edge: Any, inputs: list[Tensor], dy: Tensor | None) -> list[Tensor | None]:
    """Gradients of the inputs that need one, None for the others."""
    wanted = [x for x in inputs if x.requires_grad]
    found = iter(torch.autograd.grad(edge, wanted, dy) if wanted else ())
    return [next(found) if x.requires_grad else None for x in inputs]


def linear_of_gelu(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The linear map of GELU(u) that keeps u; GELU(u) exists a piece at a time.

    (..., in) -> (..., out), in autocast's type where it is on, else in u's.
    """
    return _LinearOfGELU.apply(_Kept.apply(u, weight, bias), weight, bias)


class _Kept(torch.autograd.Function):
    """Its first argument; keeps all for the function behind, which takes them from here.

    A checkpoint ends with the last tensor that is kept. A function of one's own keeps what it
    needs when it has computed its result, and with this in front of it that is not made again.
    """

    @staticmethod
    def forward(ctx, x: Tensor, *others: Tensor) -> Tensor:
        ctx.save_for_backward(x, *others)
        ctx.set_materialize_grads(False)
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor | None):
        return (grad, *[None] * (len(ctx.needs_input_grad) - 1))


class _LinearOfGELU(torch.autograd.Function):
    """linear(GELU(u)) that keeps u alone, and in backward frees GELU(u) before it makes more."""

    @staticmethod
    def forward(ctx, u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.kept = u.grad_fn
        ctx.dtype = working_dtype(u)
        pieces = u.flatten(0, -2).chunk(1 + u.numel() // PIECE)
        with in_full(u.device):
            weight, bias = weight.to(ctx.dtype), bias.to(ctx.dtype)
            parts = [product(F.gelu(piece).to(ctx.dtype), weight, bias) for piece in pieces]
        out = parts[0] if len(parts) == 1 else torch.cat(parts)
        return out.view(*u.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        u, weight, bias = ctx.kept.saved_tensors
        du = dweight = dbias = None
        rows = grad.flatten(0, -2)
        with in_full(grad.device):
            if ctx.needs_input_grad[1]:
                y = F.gelu(u).to(ctx.dtype).flatten(0, -2)
                dweight = product(rows.T, y.T).to(weight.dtype)
                del y
            if ctx.needs_input_grad[2]:
                dbias = rows.sum(0, dtype=summing_dtype(rows)).to(bias.dtype)
            if ctx.kept.needs_input_grad[0]:
                dy = product(grad, weight.to(grad.dtype).T).to(u.dtype)
                du = torch.ops.aten.gelu_backward.grad_input(dy, u, grad_input=dy)  # in place
        return du, dweight, dbias
