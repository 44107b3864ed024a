"""Matrix products in float32 on CPUs whose AVX-512 PyTorch's own leave idle.

PyTorch gives float32 products to MKL, and MKL takes no AVX-512 on AMD's CPUs. oneDNN, which comes
with PyTorch as well, does, in half the time (``benchmarks/cpu_products.py``). Whoever compiles,
traces or counts sees ``F.linear``; ``torch.backends.mkldnn.flags(enabled=False)`` turns it off.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dtypes import autocasts

LEAST = 2_000_000  # multiplications; of smaller products the call takes what the product saves


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear map x W^T + b, differentiable: ``F.linear``, by oneDNN where that is faster.

    Args:
        x: (..., in).
        weight: (out, in), in x's type unless autocast is on.
        bias: (out,), or ``None``.

    Returns:
        (..., out).
    """
    if not _by_onednn(x, weight):
        return F.linear(x, weight, bias)
    return _Product.apply(x, weight, bias)


def scaled_product(x: Tensor, weight: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Linear map s x W^T + b without a graph.

    Args:
        x: (rows, in).
        weight: (out, in), in x's type.
        bias: (out,).
        scale: s.

    Returns:
        (rows, out).
    """
    if not _by_onednn(x, weight):
        return torch.addmm(bias, x, weight.T, alpha=scale)
    if x.shape[-1] < len(weight):  # oneDNN has no scale; of x and the result the smaller takes it
        return _onednn(scale * x, weight, bias)
    return _onednn(x, weight, bias / scale).mul_(scale)


class _Product(torch.autograd.Function):
    """Linear map by oneDNN; of a frozen W it keeps nothing."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(x, weight)
        else:  # what is kept at the end of a checkpoint has it make the product again
            ctx.weight = weight
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors or (None, ctx.weight)
        rows = grad.reshape(-1, grad.shape[-1])
        dx = product(grad, weight.T) if ctx.needs_input_grad[0] else None
        dweight = None if x is None else product(rows.T, x.reshape(-1, x.shape[-1]).T)
        return dx, dweight, rows.sum(0) if ctx.needs_input_grad[2] else None


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Linear map without a graph, from a weight as it is stored. (..., in) -> (..., out)."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], '')


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN takes this product."""
    if torch.compiler.is_compiling() or not _outruns_mkl() or _observed() or autocasts(x):
        return False
    if any(type(t) not in (Tensor, nn.Parameter) or t.dtype != torch.float32 for t in (x, weight)):
        return False
    if x.device.type != 'cpu' or x.numel() * len(weight) < LEAST:
        return False
    if x.shape[-1] != weight.shape[-1]:  # PyTorch says by its names what does not fit
        return False
    return bool(torch.backends.mkldnn.enabled)


def _observed() -> bool:
    """Whether a tracer, a counter of operators or a transform of functions looks on."""
    return (
        torch.jit.is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
    )


@cache
def _outruns_mkl() -> bool:
    """Whether this is a CPU of AMD with AVX-512, PyTorch's products are MKL's and it has oneDNN."""
    return (
        'AMD' in str(torch.cpu.get_capabilities().get('cpu_name'))
        and torch.backends.cpu.get_cpu_capability() == 'AVX512'
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, '_linear_pointwise')
    )
