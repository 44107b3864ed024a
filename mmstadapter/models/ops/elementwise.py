"""Layer norm, QuickGELU and linear maps that keep little for the backward pass.

Under 16-bit autocast PyTorch's layer norm keeps a float32 copy of its input and
``u * sigmoid(1.702 u)`` keeps both factors: together half of what a frozen
ViT-B/16 with adapters holds in memory. The forms here compute the same numbers
and keep the 16-bit input alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., in) -> (..., out), for weights stored in any floating type.

    Autocast chooses the arithmetic where it is on. Elsewhere a weight stored in
    another type than ``x`` (a frozen trunk held in 16 bit) is read in ``x``'s.
    """
    if weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        weight = weight.to(x.dtype)
        bias = None if bias is None else bias.to(x.dtype)
    return F.linear(x, weight, bias)


def summing_dtype(x: Tensor) -> torch.dtype:
    """The type in which many values of x are added up: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


class _HalfLayerNorm(torch.autograd.Function):
    """Layer norm of a 16-bit tensor in float32, keeping the 16-bit input."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        out, mean, rstd = torch.native_layer_norm(
            x.float(), x.shape[-1:], weight.float(), bias.float(), eps
        )
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight, bias, mean, rstd = ctx.saved_tensors
        needed = list(ctx.needs_input_grad[:3])
        dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward(
            grad.float(),
            x.float(),
            x.shape[-1:],
            mean,
            rstd,
            weight.float(),
            bias.float(),
            needed,
        )
        return (
            dx.to(x.dtype) if needed[0] else None,
            dweight.to(weight.dtype) if needed[1] else None,
            dbias.to(bias.dtype) if needed[2] else None,
            None,
        )


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over the last axis, computed in float32. (..., D) -> (..., D), same dtype."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return _HalfLayerNorm.apply(x, weight, bias, eps)
    return F.layer_norm(x, weight.shape, weight.to(x.dtype), bias.to(x.dtype), eps)


class LayerNorm(nn.LayerNorm):
    """Layer norm over the last axis, computed in float32, returned in x's type."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), same dtype."""
        return layer_norm(x, self.weight, self.bias, self.eps)


class _QuickGELU(torch.autograd.Function):
    """u * sigmoid(1.702 u), keeping u alone."""

    @staticmethod
    def forward(ctx, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return u * torch.sigmoid(1.702 * u)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        gate = torch.sigmoid(1.702 * u)
        return grad * (gate * (1 + 1.702 * u * (1 - gate)))


def quick_gelu(u: Tensor) -> Tensor:
    """CLIP's activation, u * sigmoid(1.702 u), of the same shape."""
    return _QuickGELU.apply(u)


class _KeepInGraph(torch.autograd.Function):
    """Identity whose backward hands exact zeros to parameters that cannot matter."""

    @staticmethod
    def forward(ctx, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.like = [(p.shape, p.dtype, p.device) for p in parameters]
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor):
        zeros = (torch.zeros(s, dtype=t, device=d) for s, t, d in ctx.like)
        return (grad, *zeros)


def keep_in_graph(x: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return x; give ``parameters``, which do not influence it, a zero gradient.

    Distributed training waits for a gradient of every trained parameter, and the
    released models train adapters whose gradient is zero by construction.
    """
    return _KeepInGraph.apply(x, *parameters) if parameters else x
