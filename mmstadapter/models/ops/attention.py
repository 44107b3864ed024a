"""Self-attention over one fused matrix, and the weights that fused kernels do not hand out."""

from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .elementwise import linear

Mix = Callable[[Tensor], Tensor]


def self_attention(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    num_heads: int,
    num_queries: int | None = None,
    mix: Mix | None = None,
    causal: bool = False,
) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, before the output map.

    Args:
        x: tokens (M, L, D).
        weight: (3·D, D), rows of q, then k, then v; a head is a contiguous slice.
        bias: (3·D,).
        num_heads: heads of d = D / num_heads channels.
        num_queries: how many of the first tokens look at all; ``None``: every one.
        mix: changes keys and values, each (M, heads, L, d), before they are looked at.
        causal: whether a token sees only itself and earlier ones.

    Returns:
        (M, Q, D), Q = num_queries or L.
    """
    dims = x.shape[-1]
    if num_queries is None:
        qkv = linear(x, weight, bias)
        q, k, v = rearrange(qkv, 'm l (three h d) -> three m h l d', three=3, h=num_heads)
    else:
        q = linear(x[:, :num_queries], weight[:dims], bias[:dims])
        kv = linear(x, weight[dims:], bias[dims:])
        q = rearrange(q, 'm l (h d) -> m h l d', h=num_heads)
        k, v = rearrange(kv, 'm l (two h d) -> two m h l d', two=2, h=num_heads)
    if mix is not None:
        k, v = mix(k), mix(v)
    x = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return rearrange(x, 'm h l d -> m l (h d)')


def first_token_attention(x: Tensor, weight: Tensor, bias: Tensor, num_heads: int) -> Tensor:
    """How much the first token looks at each. (M, L, D) -> (M, heads, L), rows sum to one.

    ``weight`` and ``bias`` are those of `self_attention`.
    """
    dims = x.shape[-1]
    q = linear(x[:, :1], weight[:dims], bias[:dims])
    keys = slice(dims, 2 * dims)
    k = linear(x, weight[keys], bias[keys])
    q, k = (rearrange(t, 'm l (h d) -> m h l d', h=num_heads) for t in (q, k))
    return attention_weights(q, k).squeeze(2)


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) in float32.

    Args:
        q: queries (M, heads, Q, d).
        k: keys (M, heads, L, d).

    Returns:
        (M, heads, Q, L); each row sums to one.
    """
    scores = q.float() @ k.float().transpose(-2, -1)
    return (scores * q.shape[-1] ** -0.5).softmax(dim=-1)
