"""Tokens that are most alike become one, the others and their order stay."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .dtypes import in_full, summing_dtype

FINEST = 2.0**-20  # cosines nearer than this are equal: that is what rounding does to equal tokens


class Match(nn.Module):
    """Which tokens of one half become part of which of the other.

    Each of half A looks for the token of half B with the largest cosine; the r that found the
    largest go. Among equals the first is taken, on both sides, so that still frames and black
    bars, whose patches are equal, are merged alike on every device.
    """

    @torch.no_grad()
    def forward(self, a: Tensor, b: Tensor, r: int) -> tuple[Tensor, Tensor]:
        """Half A (M, Na, D), half B (M, Nb, D) -> whether they go (M, Na), and to whom (M, Na)."""
        with in_full(a.device):
            a, b = (F.normalize(half.to(summing_dtype(half)), dim=-1) for half in (a, b))
            best, target = (a @ b.mT / FINEST).round().max(dim=-1)
        order = best.argsort(dim=-1, descending=True, stable=True)
        go = torch.zeros_like(target, dtype=torch.bool)
        return go.scatter(1, order[:, :r], True), target


class TokenMerge(nn.Module):
    """Merge r of a clip's patches into others.

    Token merging (Bolya et al., ICLR 2023) in the form of TempMe's released code: the c class
    tokens stay out of it, the halves' roles change with the parity of c, order is kept.

        A, B = patches 0, 2, 4 .. and 1, 3, 5 ..     c even
        A, B = patches 1, 3, 5 .. and 0, 2, 4 ..     c odd
        new order: class tokens, the rest of A, B
        x = sum(x size) / sum(size) over what is one token now;  size = sum(size)
    """

    def __init__(self) -> None:
        super().__init__()
        self.match = Match()

    def forward(
        self, x: Tensor, size: Tensor | None, metric: Tensor, r: int, prefix: int
    ) -> tuple[Tensor, Tensor | None]:
        """(M, L, D) -> (M, L - r, D), and their sizes.

        Args:
            x: tokens (M, L, D), the first c of which stay apart.
            size: (M, L, 1), how many patches each is made of; ``None``: one each.
            metric: (M, L, C), what is compared.
            r: how many tokens there are to be fewer, at most half of the patches.
            prefix: c.
        """
        if r == 0:
            return x, size
        if size is None:
            size = torch.ones_like(x[..., :1], dtype=summing_dtype(x))
        halves = slice(prefix + prefix % 2, None, 2), slice(prefix + 1 - prefix % 2, None, 2)
        go, target = self.match(metric[:, halves[0]], metric[:, halves[1]], r)
        places = places_of(go, target, prefix, x.shape[1])
        sums = [
            add_up(torch.cat([t[:, part] for part in (slice(prefix), *halves)], dim=1), places, r)
            for t in (x * size, size)
        ]
        return (sums[0] / sums[1]).to(x.dtype), sums[1]


def places_of(go: Tensor, target: Tensor, prefix: int, length: int) -> Tensor:
    """Where the prefix, half A and half B come to be in the shorter sequence, (M, L)."""
    stay = prefix + (~go).sum(dim=1, keepdim=True)  # where half B begins
    a = torch.where(go, stay + target, prefix - 1 + (~go).cumsum(dim=1))
    first = torch.arange(prefix, device=go.device).expand(go.shape[0], -1)
    b = stay + torch.arange(length - prefix - go.shape[1], device=go.device)
    return torch.cat([first, a, b], dim=1)


def add_up(x: Tensor, places: Tensor, r: int) -> Tensor:
    """Tokens (M, L, D) added up at their places (M, L), of which r are shared. (M, L - r, D)."""
    index = places[..., None].expand(-1, -1, x.shape[-1])
    return x.new_zeros(x.shape[0], x.shape[1] - r, x.shape[-1]).scatter_add(1, index, x)


def join_clips(x: Tensor, num_clips: int, prefix: int) -> Tensor:
    """Neighbouring clips as one: the first tokens of all, then the others of all.

    Args:
        x: (M·k, L, D), each with c tokens before its patches.
        num_clips: k.
        prefix: c.

    Returns:
        (M, k·L, D), with k·c tokens before the patches.
    """
    parts = (x[:, :prefix], x[:, prefix:])
    return torch.cat([rearrange(p, '(m k) l d -> m (k l) d', k=num_clips) for p in parts], dim=1)
