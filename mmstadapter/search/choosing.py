"""Which of the ranked segments a search gives: above a score, one a video, neighbours as one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

TOUCHING = 0.002  # seconds between segments whose times are rounded


@dataclass(frozen=True)
class Hit:
    """A segment found: file below the index's root, from and to in seconds, similarity."""

    video: str
    start: float
    end: float
    score: float

    def asdict(self) -> dict[str, Any]:
        """As a dict that JSON can hold."""
        return dict(vars(self))

    def touches(self, other: 'Hit') -> bool:
        """Whether no time of the video lies between the two."""
        gap = max(self.start, other.start) - min(self.end, other.end)
        return self.video == other.video and gap < TOUCHING


@dataclass(frozen=True)
class Wanted:
    """What is chosen of the ranked segments.

    Args:
        topk: hits to give at most.
        min_score: no hit below it; None for no such limit.
        by_video: the best hit of each video alone.
        dedupe: segments of a video that touch are one hit, from the first's beginning to the
            last's end, with the score of the best.

    Raises:
        ValueError: if ``topk`` is below 1 or ``min_score`` no number.
    """

    topk: int = 10
    min_score: float | None = None
    by_video: bool = False
    dedupe: bool = False

    def __post_init__(self) -> None:
        if self.topk < 1 or (self.min_score is not None and not math.isfinite(self.min_score)):
            raise ValueError(
                'VideoIndex: topk must be at least 1 and min_score a number, got '
                f'{self.topk}, {self.min_score}.'
            )

    @property
    def is_plain(self) -> bool:
        """Whether the best so many segments are all that is asked for."""
        return not (self.by_video or self.dedupe)

    def choose(self, ranked: Iterable[Hit]) -> tuple[list[Hit], bool]:
        """The hits among segments, which come best first; and whether more could change them."""
        found: list[Hit] = []
        for hit in ranked:
            if self.min_score is not None and hit.score < self.min_score:
                return found, False
            near = [other for other in found if self.dedupe and other.touches(hit)]
            if near:
                found = _joined(found, near, hit)
            elif self.by_video and any(other.video == hit.video for other in found):
                continue
            elif len(found) == self.topk:  # one more would begin
                return found, False
            else:
                found.append(hit)
            if len(found) == self.topk and not self.dedupe:
                return found, False
        return found, True


def _joined(found: list[Hit], near: list[Hit], hit: Hit) -> list[Hit]:
    """The hits with those near a further segment as one with it, in the place of the best."""
    start = min(other.start for other in (*near, hit))
    end = max(other.end for other in (*near, hit))
    whole = replace(near[0], start=start, end=end)
    return [whole if h is near[0] else h for h in found if h is near[0] or h not in near]
