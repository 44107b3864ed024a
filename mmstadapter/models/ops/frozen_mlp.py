"""The MLP of a frozen CLIP block, with QuickGELU's factor inside the matrix products.

QuickGELU is a SiLU between two scales, ``u sigmoid(a u) = SiLU(a u) / a`` with a = 1.702, and a
matrix product multiplies its result by a number for nothing. So the two scales go there:

    t = a (W_1 x + b_1),  y = W_2 SiLU(t) / a + b_2

and one kernel that reads and writes the hidden values once is left of the three that ``u *
sigmoid(1.702 u)`` takes. In the backward pass the scales cancel:

    dx = W_1^T (SiLU'(t) * W_2^T dy)

Nothing is rounded oftener than before, in 16 bit less often.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dtypes import in_full, summing_dtype, working_dtype
from .products import product, scaled_product

A = 1.702


def frozen_mlp(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """W_2 QuickGELU(W_1 x + b_1) + b_2, with no gradient for the weights; keeps t alone.

    In autocast's type where it is on, else in x's.

    Args:
        x: (..., D).
        w1, b1: (H, D) and (H,), stored in any floating type.
        w2, b2: (E, H) and (E,).

    Returns:
        (..., E).
    """
    return _Second.apply(_First.apply(x, w1, b1), w2, b2)


# Two functions, of which the first keeps t and the second takes it from there: a checkpoint ends
# with the last tensor that is kept, and so makes t again and neither SiLU nor the second product.
# Weights are frozen and not noted as kept: one that came last would have both made again.


class _First(torch.autograd.Function):
    """t = a (W_1 x + b_1), kept. (..., D) -> (..., H)."""

    @staticmethod
    def forward(ctx, x: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
        dtype, ctx.w1 = working_dtype(x), w1
        with in_full(x.device):
            rows = x.to(dtype).flatten(0, -2)
            bias = (A * b1.to(summing_dtype(b1))).to(dtype)
            t = scaled_product(rows, w1.to(dtype), bias, A)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(t)
        return t.view(*x.shape[:-1], t.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        with in_full(grad.device):
            return product(grad, ctx.w1.to(grad.dtype).T), None, None


class _Second(torch.autograd.Function):
    """W_2 SiLU(t) / a + b_2. (..., H) -> (..., E)."""

    @staticmethod
    def forward(ctx, t: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.first, ctx.w2 = t.grad_fn, w2
        with in_full(t.device):
            hidden = F.silu(t.flatten(0, -2), inplace=not ctx.needs_input_grad[0])
            y = scaled_product(hidden, w2.to(t.dtype), b2.to(t.dtype), 1 / A)
        return y.view(*t.shape[:-1], y.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (t,) = ctx.first.saved_tensors
        with in_full(grad.device):
            dt = product(grad.flatten(0, -2), ctx.w2.to(t.dtype).T)
            dt = torch.ops.aten.silu_backward.grad_input(dt, t, grad_input=dt)  # in place
        return dt.view(*grad.shape[:-1], dt.shape[-1]), None, None
