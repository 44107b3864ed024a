"""The two verbs of a block, and the seams at which a method puts its own parts into them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..ops.attention import Mix

Change = Callable[[Tensor], Tensor]


def through(change: Change | None, x: Tensor) -> Tensor:
    """``change(x)``, or x itself where nothing is put."""
    return x if change is None else change(x)


def require_mix(trunk: nn.Module, who: str) -> None:
    """Raise ValueError unless one can get between the layers of a trunk's attention."""
    block = trunk.blocks[0]
    if not getattr(block, 'mixes', False):
        attention = type(getattr(block, 'attn', block)).__name__
        raise ValueError(
            f'{who}: the blocks of the trunk must offer attend(x, mix=...), which changes keys '
            f'and values; those of {type(trunk).__name__} do not ({attention}). Use CLIPViT or '
            'EVAViT, or a model of timm or MMPretrain with plain attention.'
        )


def require_class_token(trunk: nn.Module, who: str) -> None:
    """Raise TypeError unless a trunk reads an image's feature from its first tokens alone."""
    if trunk.readout_tokens is None:
        raise TypeError(
            f'{who}: the trunk must read its feature from a class token; this '
            f'{type(trunk).__name__} reads it from all tokens.'
        )


class Block(nn.Module):
    """Attention and MLP, each added to the residual stream x.

    Whether the norm comes first on a branch or last is the block's own affair. A seam that
    is left out costs nothing: nothing is computed, and nothing kept, for it.
    """

    mixes = True  # whether `attend` takes ``mix`` and ``bias``

    def attend(
        self,
        x: Tensor,
        num_queries: int | None = None,
        *,
        pre: Change | None = None,
        mix: Mix | None = None,
        bias: Tensor | None = None,
        post: Change | None = None,
    ) -> Tensor:
        """Add the attention branch.

            pre-norm:   x + post(attention(pre(norm(x))))
            post-norm:  x + post(norm(attention(pre(x))))
            attention(y) = W_o softmax(q k^T / sqrt(d) + bias) v
            q, k, v = mix(W_q y, W_k y, W_v y)

        Args:
            x: tokens (M, L, D).
            num_queries: Q, how many of the first tokens look at all; ``None``: all L.
            pre: y -> y, (M, L, D), before the attention.
            mix: (q, k, v) -> (q, k, v), all heads side by side, q (M, Q, D), k and v
                (M, L, D): to read them, to change them, or to give other keys and values.
            bias: of the logits, of two axes or more, broadcastable to (M, heads, Q, L).
            post: y -> y, (M, Q, D), on the branch.

        Returns:
            (M, Q, D).
        """
        raise TypeError(f'{type(self).__name__} must provide `attend`.')

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """Add the MLP branch.

            pre-norm:   x + post(mlp(pre(norm(x)))) + beside(norm(x))
            post-norm:  x + post(norm(mlp(pre(x)))) + beside(x)

        Args:
            x: tokens (M, L, D).
            pre: y -> y, before the MLP.
            post: y -> y, on the branch.
            beside: y -> what a second branch adds, from what the first is given before ``pre``.

        Returns:
            (M, L, D).
        """
        raise TypeError(f'{type(self).__name__} must provide `feed_forward`.')

    def forward(self, x: Tensor, num_queries: int | None = None) -> Tensor:
        """(M, L, D) -> (M, Q, D), both; Q = num_queries or L."""
        return self.feed_forward(self.attend(x, num_queries))


def read_by(block: Block, queries: Tensor, x: Tensor) -> Tensor:
    """Other tokens read x by a block: q + CA(norm q, norm x), then the MLP branch.

    Args:
        block: a pre-norm block that mixes; its first norm is that of queries and tokens.
        queries: (M, Q, D).
        x: (M, L, D), the tokens that are looked at.

    Returns:
        (M, Q, D).
    """
    count = queries.shape[1]

    def others(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return q, k[:, count:], v[:, count:]

    both = torch.cat([queries, x], dim=1)
    return block.feed_forward(block.attend(both, num_queries=count, mix=others))
