"""Low-rank maps beside the queries, keys and values of a frozen attention."""

from torch import Tensor, nn

from .linear import Linear


class LowRank(nn.Module):
    """B A y, added to W_qkv y + b (Hu et al., LoRA, 2022), without a factor.

    It stands in no layer of the trunk, `Beside` adds it at the seams. B starts at zero, so
    nothing changes at first; A as PyTorch starts linear maps.

    Args:
        embed_dims: width D.
        rank: rows of A.

    Raises:
        ValueError: for a rank below 1.
    """

    def __init__(self, embed_dims: int, rank: int) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f'LowRank: rank must be 1 or more, got {rank}.')
        self.a = Linear(embed_dims, rank, bias=False)
        self.b = Linear(rank, 3 * embed_dims, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, y: Tensor) -> Tensor:
        """(..., D) -> (..., 3·D)."""
        return self.b(self.a(y))


def low_rank_maps(blocks: nn.ModuleList, embed_dims: int, rank: int) -> nn.ModuleList:
    """A `LowRank` for each block; none for rank 0."""
    return nn.ModuleList(LowRank(embed_dims, rank) for _ in blocks if rank)


class Beside:
    """The seams of one call of `Block.attend`: a low-rank map is added, the keys are kept.

    Args:
        low_rank: what is added to queries, keys and values; ``None``: nothing.
    """

    def __init__(self, low_rank: LowRank | None) -> None:
        self.low_rank = low_rank
        self.added: Tensor | None = None
        self.keys: Tensor | None = None

    def pre(self, y: Tensor) -> Tensor:
        """Take what the attention is given, (M, L, D)."""
        self.added = None if self.low_rank is None else self.low_rank(y)
        return y

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q (M, Q, D), k and v (M, L, D) -> the same with what is added."""
        if self.added is not None:
            more_q, more_k, more_v = self.added.chunk(3, dim=-1)
            q, k, v = q + more_q[:, : q.shape[1]], k + more_k, v + more_v
        self.keys = k
        return q, k, v
