"""The attentive pooler of V-JEPA 2: a few blocks over all tokens, then queries that read them.

Assran et al., "V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and
Planning", 2025; the frozen evaluation.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.attention import join_heads, split_heads
from ..ops.elementwise import LayerNorm
from ..ops.linear import Linear
from ..recomputing import Recomputing, chosen_step
from ..trunks.clip_vit import MLP, CLIPBlock

INIT_STD = 0.02


class QueryAttention(nn.Module):
    """Queries look at tokens: softmax(q k^T / sqrt(d)) v, with no map after it.

    Args:
        embed_dims: width D.
        num_heads: heads of D / num_heads channels.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.kv = Linear(embed_dims, embed_dims), Linear(embed_dims, 2 * embed_dims)

    def forward(self, q: Tensor, x: Tensor) -> Tensor:
        """Queries (B, Q, D), tokens (B, L, D) -> (B, Q, D)."""
        parts = (self.q(q), *self.kv(x).chunk(2, dim=-1))
        q, k, v = (split_heads(part, self.num_heads) for part in parts)
        return join_heads(F.scaled_dot_product_attention(q, k, v))


class PoolingBlock(nn.Module):
    """Queries that read tokens, then their MLP; the queries themselves are not normed.

        q = q + CA(q, LN x);  q = q + W_2 GELU(W_1 LN q)

    Args:
        embed_dims: width D.
        num_heads: attention heads.
        mlp_ratio: hidden width of the MLP over D.
    """

    def __init__(self, embed_dims: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.ln_1, self.attn = LayerNorm(embed_dims), QueryAttention(embed_dims, num_heads)
        self.ln_2 = LayerNorm(embed_dims)
        self.mlp = MLP(embed_dims, int(mlp_ratio * embed_dims), 'gelu')

    def forward(self, q: Tensor, x: Tensor) -> Tensor:
        """Queries (B, Q, D), tokens (B, L, D) -> (B, Q, D)."""
        q = q + self.attn(q, self.ln_1(x))
        return q + self.mlp(self.ln_2(q))


class AttentivePooler(Recomputing):
    """Self-attention blocks over all tokens, and learned queries that read what comes out.

    Args:
        embed_dims: width D of the tokens.
        depth: blocks, the one that pools among them.
        num_heads: attention heads in each.
        mlp_ratio: hidden width of their MLPs over D.
        num_queries: learned queries Q.
        complete_block: whether the queries have norms, residuals and an MLP; else they are
            replaced by what their attention gives.
        recompute, with_cp: what the backward pass computes again, see `STAdapterViT`; of the
            pooling block all or nothing.

    Raises:
        ValueError: for numbers below one, or heads that do not divide the width.
    """

    def __init__(
        self, embed_dims: int, depth: int = 4, num_heads: int = 16, mlp_ratio: float = 4.0,
        num_queries: int = 1, complete_block: bool = True, recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if min(depth, num_heads, num_queries) < 1 or embed_dims % num_heads:
            raise ValueError(
                'AttentivePooler: depth, num_heads and num_queries must be at least 1, and '
                f'num_heads must divide the width {embed_dims} of the trunk, got {depth}, '
                f'{num_heads} and {num_queries}.'
            )
        self.query = nn.Parameter(torch.zeros(num_queries, embed_dims))
        self.blocks = nn.ModuleList(
            CLIPBlock(embed_dims, num_heads, activation='gelu', mlp_ratio=mlp_ratio)
            for _ in range(depth - 1)
        )
        self.pool = (
            PoolingBlock(embed_dims, num_heads, mlp_ratio)
            if complete_block
            else QueryAttention(embed_dims, num_heads)
        )
        self.initialise()
        self.recompute = chosen_step(recompute, with_cp, 'AttentivePooler')

    @torch.no_grad()
    def initialise(self) -> None:
        """The released initial values: the last maps of branches shrink with their depth."""
        nn.init.trunc_normal_(self.query, std=INIT_STD)
        for name, parameter in (*self.blocks.named_parameters(), *self.pool.named_parameters()):
            if name.endswith('bias'):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                nn.init.trunc_normal_(parameter, std=INIT_STD)
        for j, block in enumerate(self.blocks, start=1):
            block.attn.out_proj.weight /= math.sqrt(2 * j)
            block.mlp.c_proj.weight /= math.sqrt(2 * j)
        if isinstance(self.pool, PoolingBlock):  # as the block before it
            self.pool.mlp.c_proj.weight /= math.sqrt(2 * max(1, len(self.blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, L, D) -> (B, Q, D), for any L."""
        for block in self.blocks:
            x = self.trunk_block(block, x)
        query = self.query.to(x.dtype).expand(x.shape[0], -1, -1)
        part = 'attention' if self.recompute == 'attention' else 'block'
        return self.again(part, self.pool, query, x)
