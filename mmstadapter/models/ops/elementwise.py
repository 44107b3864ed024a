"""Layer norm, QuickGELU and linear maps that keep little for the backward pass.

Under 16-bit autocast PyTorch's layer norm keeps a float32 copy of its input and
``u * sigmoid(1.702 u)`` keeps both factors: together half of what a frozen
ViT-B/16 with adapters holds in memory. The forms here compute the same numbers
and keep the 16-bit input alone.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .devices import device_of
from .dtypes import autocasts, in_full
from .products import product
from .quantized import is_quantized, quantized_linear
from .recompute import remakeable


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., in) -> (..., out), for weights stored in any floating type.

    Autocast chooses the arithmetic where it is on. Elsewhere a weight stored in
    another type than ``x`` (a frozen trunk held in 16 bit) is read in ``x``'s.
    """
    check_gathered(weight)
    if is_quantized(weight):
        return quantized_linear(x, weight, bias)
    if weight.dtype != x.dtype and not autocasts(x):
        weight = weight.to(x.dtype)
        bias = None if bias is None else bias.to(x.dtype)
    return product(x, weight, bias)


def check_gathered(weight: Tensor) -> None:
    """Raise RuntimeError for a shard of FSDP2, whose layer was reached past its sharded module."""
    if hasattr(weight, 'device_mesh'):
        raise RuntimeError(
            'fully_shard: these weights are shards that nothing gathered, since the block that '
            'was sharded is not called itself, but by its attend and feed_forward. Shard the '
            "layers in it instead, or call register_fsdp_forward_method(block, 'attend') and "
            "(block, 'feed_forward') of torch.distributed.fsdp."
        )


def _norm_inputs(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What PyTorch's layer norm takes of a 16-bit x so that it computes in float32.

    On CPUs x itself beside float32 vectors. A GPU's kernel wants one type for all: that of x
    if the vectors are stored in it, else float32, which a compiler fuses and eager copies.
    """
    if device_of(x) == 'cpu':
        return x, weight.float(), bias.float()
    if x.dtype == weight.dtype == bias.dtype:
        return x, weight, bias
    return x.float(), weight.float(), bias.float()


class _HalfLayerNorm(torch.autograd.Function):
    """Layer norm of a 16-bit tensor in float32, keeping the 16-bit input."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        with in_full(x.device):
            y, w, b = _norm_inputs(x, weight, bias)
            out, mean, rstd = torch.native_layer_norm(y, x.shape[-1:], w, b, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight, bias, mean, rstd = ctx.saved_tensors
        needed = list(ctx.needs_input_grad[:3])
        if any(needed[1:]):  # the 16-bit kernels add up a vector's gradient in 16 bit
            y, w, b = x.float(), weight.float(), bias.float()
        else:
            y, w, b = _norm_inputs(x, weight, bias)
        dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward(
            grad.to(y.dtype), y, x.shape[-1:], mean, rstd, w, b, needed
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
    """Layer norm over the last axis, computed in float32, returned in x's type; remakeable."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), same dtype."""
        check_gathered(self.weight)
        return remakeable(partial(layer_norm, eps=self.eps), x, self.weight, self.bias)


class _QuickGELU(torch.autograd.Function):
    """u * sigmoid(1.702 u), keeping u alone."""

    @staticmethod
    def forward(ctx, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return u * torch.sigmoid(1.702 * u)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        v = 1.702 * u  # u * sigmoid(a u) = SiLU(a u) / a
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return torch.ops.aten.silu_backward(grad, v)
        return torch.ops.aten.silu_backward.grad_input(grad, v, grad_input=v)  # in place


def quick_gelu(u: Tensor) -> Tensor:
    """CLIP's activation, u * sigmoid(1.702 u), of the same shape."""
    return _QuickGELU.apply(u)


class QuickGELU(nn.Module):
    """CLIP's activation as a layer; see `quick_gelu`."""

    def forward(self, u: Tensor) -> Tensor:
        """(...) -> (...), remakeable."""
        return remakeable(quick_gelu, u)


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
    wanted = parameters and torch.is_grad_enabled()  # no graph to compile where there is none
    return _KeepInGraph.apply(x, *parameters) if wanted else x
