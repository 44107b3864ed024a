"""Attention of all heads at once, and the weights that fused kernels do not hand out."""

from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .linear import QKV, InProjection, Linear, is_plain

Mix = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def queries_keys_values(
    layer: nn.Module,
    x: Tensor,
    num_heads: int,
    num_queries: int | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What attention is made of.

    Args:
        layer: D -> 3·D, rows of q, then k, then v, a head a contiguous slice of d = D / heads:
            a `QKV`, or whatever has taken its place.
        x: tokens (M, L, D).
        num_heads: heads.
        num_queries: how many of the first tokens look at all; ``None``: every one.
        bias: (3·D,), added to what the layer gives.

    Returns:
        q (M, heads, Q, d), k and v (M, heads, L, d), Q = num_queries or L.
    """
    plain = is_plain(layer, QKV, InProjection)
    if num_queries is None or not plain:
        qkv = layer(x, bias=bias) if plain else plus(layer(x), bias)
        q, k, v = heads_of_each(qkv, 3, num_heads)
        return q if num_queries is None else q[:, :, :num_queries], k, v
    dims = x.shape[-1]
    q = layer(x[:, :num_queries], rows=slice(0, dims), bias=bias)
    k, v = heads_of_each(layer(x, rows=slice(dims, 3 * dims), bias=bias), 2, num_heads)
    return split_heads(q, num_heads), k, v


def plus(x: Tensor, bias: Tensor | None) -> Tensor:
    """X with a bias, if there is one, in x's type. (..., n) -> (..., n)."""
    return x if bias is None else x + bias.to(x.dtype)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(M, L, heads·d) -> (M, heads, L, d)."""
    return rearrange(x, 'm l (h d) -> m h l d', h=num_heads)


def heads_of_each(x: Tensor, count: int, num_heads: int) -> list[Tensor]:
    """Queries, keys and values side by side, (M, L, count·heads·d) -> (M, heads, L, d) of each.

    Cut before the heads are: so the backward pass puts the gradients together in one copy.
    """
    return [split_heads(part, num_heads) for part in x.chunk(count, dim=-1)]


def join_heads(x: Tensor) -> Tensor:
    """(M, heads, L, d) -> (M, L, heads·d)."""
    return rearrange(x, 'm h l d -> m l (h d)')


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


class SelfAttention(nn.Module):
    """Multi-head self-attention; a subclass has the layers, under its model's names.

    Args:
        embed_dims: width D.
        num_heads: heads of D / num_heads channels.
        causal: whether a token sees only itself and earlier ones (text towers).
    """

    def __init__(self, embed_dims: int, num_heads: int, causal: bool = False) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'{type(self).__name__}: embed_dims must be a multiple of num_heads, got '
                f'{embed_dims} and {num_heads}.'
            )
        self.num_heads, self.causal = num_heads, causal

    def forward(
        self,
        x: Tensor,
        num_queries: int | None = None,
        mix: Mix | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """W_o softmax(q k^T / sqrt(d) + bias) v with q, k, v = mix(W_q x, W_k x, W_v x).

        (M, L, D) -> (M, Q, D), Q = num_queries or L; ``mix`` and ``bias``: see `Block.attend`.
        """
        q, k, v = self.project(x, num_queries)
        if mix is not None:
            mixed = mix(*map(join_heads, (q, k, v)))
            q, k, v = (split_heads(t, self.num_heads) for t in mixed)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=self.causal)
        return self.layer_out(join_heads(x))

    def project(self, x: Tensor, num_queries: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the heads; see `queries_keys_values`."""
        return queries_keys_values(self.layer_in, x, self.num_heads, num_queries, self.bias_in)

    @property
    def bias_in(self) -> Tensor | None:
        """(3·D,), added to what ``layer_in`` gives, where that has no bias of its own."""
        return None

    @property
    def layer_in(self) -> nn.Module:
        """D -> 3·D, the layer before the heads."""
        raise TypeError(f'{type(self).__name__} must provide `layer_in`.')

    @property
    def layer_out(self) -> nn.Module:
        """D -> D, the layer after the heads."""
        raise TypeError(f'{type(self).__name__} must provide `layer_out`.')

    def first_token(self, x: Tensor) -> Tensor:
        """How much the first token looks at each. (M, L, D) -> (M, heads, L), rows sum to one."""
        q, k, _ = self.project(x, num_queries=1)
        return attention_weights(q, k).squeeze(2)


class CrossAttention(nn.Module):
    """Tokens that look at others: W_o softmax(q k^T / sqrt(d)) v, each map a layer of its own.

    Starts as PyTorch's multi-head attention does: Xavier's values, biases of zero.

    Args:
        embed_dims: width D of both.
        attn_dims: width of all heads together.
        num_heads: heads.
    """

    def __init__(self, embed_dims: int, attn_dims: int, num_heads: int) -> None:
        super().__init__()
        if min(attn_dims, num_heads) < 1 or attn_dims % num_heads:
            raise ValueError(
                'CrossAttention: attn_dims must be a multiple of num_heads, got '
                f'{attn_dims} and {num_heads}.'
            )
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (Linear(embed_dims, attn_dims) for _ in range(3))
        self.out_proj = Linear(attn_dims, embed_dims)
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Tokens (M, Q, D) that look, (M, L, D) that are looked at -> (M, Q, D)."""
        given = (self.q_proj(x), self.k_proj(y), self.v_proj(y))
        q, k, v = (split_heads(t, self.num_heads) for t in given)
        return self.out_proj(join_heads(F.scaled_dot_product_attention(q, k, v)))
