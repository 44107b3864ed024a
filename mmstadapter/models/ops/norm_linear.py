"""A trained layer norm and linear map of tokens that need no gradient, as one map of x^.

With x^ the tokens less their mean and over their deviation,

    y = W (gamma * x^ + beta) + b = W' x^ + b',  W' = W diag(gamma),  b' = W beta + b

so the tokens are normalised once, in their own type, and neither the norm's output nor its
gradient, both as large as the tokens, is ever made. All four gradients follow from two sums
over the tokens, P = dy^T x^ and q = sum dy:

    dW = P diag(gamma) + q beta^T,  dgamma = diag(W^T P),  dbeta = W^T q,  db = q

A compiler differentiates the one map by itself, to the same sums.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.compiler import is_compiling

from .dtypes import in_full, summing_dtype, working_dtype
from .products import product


def norm_linear_of_frozen(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, weight: Tensor, bias: Tensor
) -> Tensor:
    """Linear(LayerNorm(x)), with no gradient for x; keeps x alone.

    In autocast's type where it is on, else in x's.

    Args:
        x: (..., D).
        gamma, beta: of the norm, (D,).
        eps: of the norm.
        weight, bias: (C, D) and (C,).

    Returns:
        (..., C).
    """
    run = _map_of_normalised if is_compiling() else _NormLinear.apply
    return run(x, gamma, beta, eps, weight, bias)


def _map_of_normalised(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float, weight: Tensor, bias: Tensor
) -> Tensor:
    """W' x^ + b'; arguments and result as of `norm_linear_of_frozen`."""
    dtype = working_dtype(x)
    with in_full(x.device):
        w, b = weight * gamma, torch.addmv(bias, weight, beta)
        y = product(_normalised(x, eps, dtype), w.to(dtype), b.to(dtype))
    return y.view(*x.shape[:-1], y.shape[-1])


def _normalised(x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """The rows x^ in the type of the product, with statistics in float32 at least. -> (R, D)"""
    return F.layer_norm(x, x.shape[-1:], eps=eps).to(dtype).flatten(0, -2)


class _NormLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, gamma: Tensor, beta: Tensor, eps: float, weight, bias) -> Tensor:
        ctx.save_for_backward(x, gamma, beta, weight, bias)
        ctx.eps, ctx.dtype = eps, working_dtype(x)
        return _map_of_normalised(x, gamma, beta, eps, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, gamma, beta, weight, bias = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        with in_full(grad.device):
            p = product(rows.T, _normalised(x, ctx.eps, ctx.dtype).T).to(weight.dtype)
            q = rows.sum(0, dtype=summing_dtype(rows)).to(bias.dtype)
            dgamma, dbeta = (p * weight).sum(0), weight.T @ q
            dweight = torch.addr(p * gamma, q, beta)
        return None, dgamma, dbeta, None, dweight, q
