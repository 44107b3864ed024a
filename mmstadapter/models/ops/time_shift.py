"""Channels of tokens that come from other frames of a clip."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

OVER = ('channels', 'each_head', 'class_token')


class TimeShift(nn.Module):
    """Some channels of every token are those of the same place in another frame.

    The first D / div channels come from frame t + offset of the first pair, the next from that
    of the second, and so on; the rest are the frame's own, as are all where there is no such
    frame. D / div is rounded down and may cut through heads, as in ZeroI2V's released code.

    Args:
        shifts: pairs (offset, div): how many frames on (back, if negative), and which part of
            the channels, a div-th.
        embed_dims: width D, all heads side by side.
        num_heads: heads.
        over: ``'channels'``, of all heads side by side, so that whole heads look at other
            frames; ``'each_head'``, a div-th of every head's channels, as XViT mixes;
            ``'class_token'``, the class token's channels alone.

    Raises:
        ValueError: for another word, offsets of 0, parts below 1, or more channels than D.
    """

    def __init__(
        self,
        shifts: Sequence[Sequence[float]],
        embed_dims: int,
        num_heads: int = 1,
        over: str = 'channels',
    ) -> None:
        super().__init__()
        if over not in OVER:
            raise ValueError(f'TimeShift: over must be one of {", ".join(OVER)}, got {over!r}.')
        self.groups, self.over = num_heads if over == 'each_head' else 1, over
        self.offsets, self.folds = check_shifts(shifts, embed_dims // self.groups)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """(B·T, L, D), clip-major -> same."""
        if self.over == 'class_token':
            return torch.cat([self.look_away(x[:, :1], num_frames), x[:, 1:]], dim=1)
        return self.look_away(x, num_frames)

    def look_away(self, x: Tensor, num_frames: int) -> Tensor:
        """The same for all tokens that are given."""
        x = rearrange(x, '(b t) l (g d) -> b t l g d', t=num_frames, g=self.groups)
        *parts, own = x.split([*self.folds, x.shape[-1] - sum(self.folds)], dim=-1)
        moved = [from_frame(part, k) for part, k in zip(parts, self.offsets, strict=True)]
        return rearrange(torch.cat([*moved, own], dim=-1), 'b t l g d -> (b t) l (g d)')


def from_frame(x: Tensor, offset: int) -> Tensor:
    """Frame t + offset in the place of frame t, if there is one. (B, T, ...) -> same."""
    if offset < 0:
        return torch.cat([x[:, :-offset], x[:, :offset]], dim=1)
    return torch.cat([x[:, offset:], x[:, -offset:]], dim=1)


def check_shifts(shifts: Sequence[Sequence[float]], dims: int) -> tuple[list[int], list[int]]:
    """Offsets and numbers of channels, or an error that says what a pair is."""
    pairs = [tuple(pair) for pair in shifts]
    if any(len(p) != 2 or int(p[0]) != p[0] or p[0] == 0 or p[1] < 1 for p in pairs):
        raise ValueError(
            'TimeShift: shifts must be pairs (offset in frames, not 0; div, at least 1), got '
            f'{pairs}. Half of the released models have ((-1, 12), (1, 12)).'
        )
    folds = [int(dims // div) for _, div in pairs]
    if sum(folds) > dims:
        raise ValueError(
            f'TimeShift: shifts {pairs} move {sum(folds)} of {dims} channels. Make div larger.'
        )
    return [int(offset) for offset, _ in pairs], folds
