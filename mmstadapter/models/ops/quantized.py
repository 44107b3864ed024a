"""Linear maps whose frozen weight torchao stores in 8 or 4 bits."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dtypes import in_full, working_dtype
from .products import product

KINDS = ('Int8Tensor', 'NF4Tensor', 'Float8Tensor')  # of torchao, which need not be installed


def is_quantized(weight: Any) -> bool:
    """Whether a frozen weight is one of `KINDS`, and not int8 that rounds tokens as well."""
    kind = type(weight).__name__
    if kind not in KINDS or weight.requires_grad:
        return False
    return kind != 'Int8Tensor' or weight.act_quant_kwargs is None


def quantized_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., in) -> (..., out), in x's type or autocast's, as an ordinary linear map.

    Uncompiled, the weight is made in full first, which costs less than scaling all that comes
    out: there are more tokens than rows. It is made again where x needs a gradient. (torchao's
    own forms keep every weight in full until then, and answer a float32 x in float32 under
    autocast, so that the tokens behind are twice as large.)
    """
    dtype = working_dtype(x)
    with in_full(x.device):
        x = x.to(dtype)
        bias = None if bias is None else bias.to(dtype)
        recorded = torch.is_grad_enabled() and x.requires_grad
        if recorded and type(weight).__name__ == 'Float8Tensor':
            raise RuntimeError(
                "quantize='float8' rounds the trunk's tokens as well, so no gradient goes back "
                'through it: it serves methods beside a frozen trunk (Side4Video, EVL, DiST, '
                "probes, heads). Set model.backbone.trunk.quantize to 'int8' or 'nf4'."
            )
        if torch.compiler.is_compiling() or type(weight).__name__ == 'Float8Tensor':
            return F.linear(x, weight, bias)
        if not recorded:
            return product(x, full_weight(weight, dtype), bias)
        y = _Linear.apply(x, weight)
        return y if bias is None else y + bias


def full_weight(weight: Any, dtype: torch.dtype | None = None) -> Tensor:
    """The numbers that a quantised weight stands for, as an ordinary tensor."""
    dtype = dtype or weight.dtype
    if type(weight).__name__ == 'NF4Tensor':
        return weight.get_original_weight().to(dtype)
    if type(weight).__name__ == 'Int8Tensor' and has_scale_a_row(weight):
        return weight.qdata.to(dtype).mul_(weight.scale.to(dtype))  # without float32 in between
    return weight.dequantize(dtype)


def has_scale_a_row(weight: Any) -> bool:
    """Whether an int8 weight is its integers times a number a row, with no offset."""
    return weight.zero_point is None and weight.scale.shape == (len(weight), 1)


class _Linear(torch.autograd.Function):
    """x W^T that keeps neither x, since W is frozen, nor W in full."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.weight = weight
        return product(x, full_weight(weight, x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        with in_full(grad.device):
            return product(grad, full_weight(ctx.weight, grad.dtype).T), None
