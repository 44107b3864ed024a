"""How patches look at the patches of the frames beside theirs, as a code of motion (EVL)."""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from .attention import attention_weights


def gazes(q: Tensor, k: Tensor, num_frames: int, num_heads: int) -> list[Tensor]:
    """a(t, u) = softmax(q_t k_u^T / sqrt(d)), mean over heads, for u = t - 1 and u = t + 1.

    Args:
        q, k: queries and keys of the patches (B·T, N, D), all heads side by side.
        num_frames: T.
        num_heads: heads.

    Returns:
        Two of (B, T-1, N, N), at the frame before and at the one after; rows sum to one.
    """
    q, k = (rearrange(x, '(b t) n (h d) -> b t h n d', t=num_frames, h=num_heads) for x in (q, k))
    pairs = (q[:, 1:], k[:, :-1]), (q[:, :-1], k[:, 1:])
    return [attention_weights(*pair).mean(dim=2).to(q.dtype) for pair in pairs]


class OffsetTables(nn.Module):
    """C = a(t, t-1) W_1[offset] + a(t, t+1) W_2[offset]: where patches look, as a code.

    EVL, section 3.3. A table has a row for each offset in space between the patch that looks
    and the one that is looked at. Starts at zero.

    Args:
        embed_dims: width D of the code.
        grid: patches (h, w).
    """

    def __init__(self, embed_dims: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        rows = (2 * grid[0] - 1) * (2 * grid[1] - 1)
        self.before, self.after = (nn.Parameter(torch.zeros(rows, embed_dims)) for _ in range(2))

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """`gazes` (B, T-1, N, N) -> (B, T, N, D); beyond the clip's ends nothing is seen."""
        offset = self.offsets(before.device)
        seen_before, seen_after = (
            einsum(a, table.to(a.dtype)[offset], 'b t i j, i j d -> b t i d')
            for a, table in ((before, self.before), (after, self.after))
        )
        return F.pad(seen_before, (0, 0, 0, 0, 1, 0)) + F.pad(seen_after, (0, 0, 0, 0, 0, 1))

    def offsets(self, device: torch.device) -> Tensor:
        """The tables' row of each patch that looks (first axis) and is looked at. -> (N, N)."""
        h, w = self.grid
        place = torch.arange(h * w, device=device)
        row, col = (p[:, None] - p for p in (place // w, place % w))
        return (row + h - 1) * (2 * w - 1) + col + w - 1
