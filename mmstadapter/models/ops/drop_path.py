"""Stochastic depth over any part of a batch of clips."""

from einops import rearrange
from torch import Tensor, nn

AXES = dict(clip='b', frame='bt', place='n')


class DropPath(nn.Module):
    """A branch that is left out at random in training, and made larger where it stays.

    Huang et al., "Deep Networks with Stochastic Depth", 2016. One draw decides for a whole
    clip, for a frame of a clip, or for a place of the grid in all frames of all clips.

    Args:
        rate: how often it is left out, from 0 to below 1.
        over: ``'clip'``, as usual; ``'frame'`` or ``'place'``, as AIM's released code has it.

    Raises:
        ValueError: for another rate or word.
    """

    def __init__(self, rate: float, over: str = 'clip') -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f'DropPath: rate must be at least 0 and below 1, got {rate}.')
        if over not in AXES:
            raise ValueError(f'DropPath: over must be one of {", ".join(AXES)}, got {over!r}.')
        self.rate, self.over = rate, over

    def forward(self, u: Tensor, layout: str, **sizes: int) -> Tensor:
        """A branch, or zero in its place.

        Args:
            u: what the branch adds, (..., D).
            layout: its other axes in einops' words, of b clips, t frames, n places.
            sizes: of those axes that do not follow from its shape.
        """
        if not self.training or self.rate == 0:
            return u
        u = rearrange(u, f'{layout} d -> b t n d', **sizes)
        drawn = zip('btn', u.shape, strict=False)
        shape = [size if axis in AXES[self.over] else 1 for axis, size in drawn]
        kept = u.new_empty(*shape, 1).bernoulli_(1 - self.rate)
        return rearrange(u * (kept / (1 - self.rate)), f'b t n d -> {layout} d')
