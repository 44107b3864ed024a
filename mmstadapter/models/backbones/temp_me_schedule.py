"""How many tokens `TempMeViT` merges where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Step(NamedTuple):
    """One block: clips that are joined before it, pairs that are merged, and what is left.

    ``joined``: k clips become one, 1 for none. ``before``, ``behind``: tokens of a clip that are
    merged before its attention and behind it. ``clips``, ``prefix``, ``tokens``: clips of a
    video, class tokens of a clip and all its tokens, as the block leaves them.
    """

    joined: int
    before: int
    behind: int
    clips: int
    prefix: int
    tokens: int


@dataclass(frozen=True)
class Schedule:
    """TempMe's counts, for n tokens a clip of which c are class tokens.

    A block that joins k clips merges first across them, then as all do:

        r0 = min( (n - c) k // 2,         n k p0 )          rounded down; none for k = 1
        r1 = min( ((n - c) k - r0) // 2,  (n k - r0) p1 )

    A block before the first of these merges ``tome_r`` a frame, the others with k = 1, r0 = 0.

    Args:
        layers: blocks that join, from 0, ascending.
        frames: k of each.
        proportions: p0 and p1, as fractions.
        tome_r: see above.
        depth: blocks of the trunk.

    Raises:
        ValueError: for what cannot be.
    """

    layers: Sequence[int]
    frames: Sequence[int]
    proportions: Sequence[float]
    tome_r: int
    depth: int

    def __post_init__(self) -> None:
        layers = list(self.layers)
        if layers != sorted({*layers}) or not all(0 <= i < self.depth for i in layers):
            raise ValueError(
                f'TempMeViT: merge_layers must be ascending numbers of blocks, 0 to '
                f'{self.depth - 1} in this trunk, got {tuple(layers)}.'
            )
        if len(self.frames) != len(layers) or any(k < 1 for k in self.frames):
            raise ValueError(
                f'TempMeViT: merge_frames must be a number from 1 for each of the {len(layers)} '
                f'merge_layers, got {tuple(self.frames)}.'
            )
        if len(self.proportions) != 2 or not all(0 <= p <= 1 for p in self.proportions):
            raise ValueError(
                'TempMeViT: proportions must be two fractions from 0 to 1 such as (0.3, 0.1), got '
                f'{tuple(self.proportions)}.'
            )
        if self.tome_r < 0:
            raise ValueError(f'TempMeViT: tome_r must be 0 or more, got {self.tome_r}.')

    @property
    def frame_step(self) -> int:
        """What the number of frames must be a multiple of."""
        return math.prod(self.frames)

    def clips_before(self, num_frames: int) -> dict[int, int]:
        """Block that joins -> clips of a video it is given.

        Raises:
            ValueError: if they do not divide.
        """
        if num_frames < 1 or num_frames % self.frame_step:
            joined = ' x '.join(map(str, self.frames))
            raise ValueError(
                f'TempMeViT: the number of frames must be a multiple of {self.frame_step}, as '
                f'merge_frames joins {joined} neighbours, got {num_frames}. Sample another number '
                'of frames, or set merge_frames.'
            )
        left = [num_frames // math.prod(self.frames[:i]) for i in range(len(self.frames))]
        return dict(zip(self.layers, left, strict=True))

    def steps(self, num_frames: int, tokens: int, prefix: int) -> list[Step]:
        """What every block does to videos of so many frames, of so many tokens each."""
        self.clips_before(num_frames)
        clips, found = num_frames, []
        joins = dict(zip(self.layers, self.frames, strict=True))
        for i in range(self.depth):
            k = joins.get(i, 1)
            clips, prefix, tokens = clips // k, prefix * k, tokens * k
            patches = tokens - prefix
            before = min(patches // 2, int(tokens * self.proportions[0])) if k > 1 else 0
            behind = min((patches - before) // 2, self.wanted(i, tokens - before))
            tokens -= before + behind
            found.append(Step(k, before, behind, clips, prefix, tokens))
        return found

    def wanted(self, i: int, tokens: int) -> int:
        """How many of a clip's tokens block i merges behind its attention, if there are enough."""
        first = self.layers[0] if self.layers else self.depth
        return self.tome_r if i < first else int(tokens * self.proportions[1])
