"""Ranks of text-video retrieval, with ties defined."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TIES = ('expected', 'optimistic', 'pessimistic')
GALLERIES = ('videos', 'captions')
BLOCK = 2**24  # scores that are compared at a time


@dataclass(frozen=True)
class Ranks:
    """Where the right answer of every query stands, ties kept apart. Q queries.

    With `ties` one of

    * ``'expected'``: equal scores come in an order drawn at random. A position is its
      expectation, recall at K the probability that a right answer is among the first K.
    * ``'optimistic'``: a right answer comes before all others of its score.
    * ``'pessimistic'``: it comes after them. A model that gives one score to everything has
      R@1 of 100, 0 and 100 / gallery, in the order optimistic, pessimistic, expected.

    Args:
        better: (Q,) how many wrong items score strictly better than the right one.
        tied: (Q,) how many wrong items score the same.
        right: (Q,) how many right items share that score: 1, unless each caption of a video
            is an item of its own.
    """

    better: Tensor
    tied: Tensor
    right: Tensor

    def positions(self, ties: str = 'expected') -> Tensor:
        """Wrong items before the first right one, (Q,) float64, 0 at best."""
        check_ties(ties)
        if ties == 'optimistic':
            return self.better.double()
        if ties == 'pessimistic':
            return (self.better + self.tied).double()
        return self.better + self.tied.double() / (self.right + 1)

    def hits(self, k: int, ties: str = 'expected') -> Tensor:
        """Probability that a right item is among the first k, (Q,) float64: 0 or 1 unless tied."""
        if ties != 'expected':
            return (self.positions(ties) < k).double()
        places = (k - self.better).clamp(min=0)  # left for the tied items
        miss = torch.ones_like(places, dtype=torch.float64)
        for i in range(min(int(places.max()), int(self.tied.max()) + 1)):  # no draw is right
            still = (self.tied - i).clamp(min=0).double() / (self.tied + self.right - i).clamp(
                min=1
            )
            miss = torch.where(places > i, miss * still, miss)
        return 1 - miss


def text_to_video_ranks(sim: Tensor, owner: Tensor, tolerance: float = 0.0) -> Ranks:
    """Rank of each caption's own video among all videos.

    Args:
        sim: (A, B), larger is more alike; NaN is not allowed. A right answer of -inf is never
            found: it stands behind all others, whatever theirs is.
        owner: (A,) index of each caption's video. Videos without a caption are allowed here.
        tolerance: scores that differ by no more count as tied.

    Raises:
        ValueError: if shapes or indices do not fit, a score is NaN, or the tolerance negative.
    """
    _check_tolerance(tolerance)
    owner = check_owner(sim, owner)
    better: list[Tensor] = []
    tied: list[Tensor] = []
    for rows in _slices(len(sim), sim.shape[1]):
        scores = _no_nan(sim[rows])
        own = scores.gather(1, owner[rows, None])
        ahead = (scores > own + tolerance).sum(1)
        level = (scores >= own - tolerance).sum(1) - ahead - 1
        _add(better, tied, ahead, level, own.flatten() == float('-inf'))
    return Ranks(torch.cat(better), torch.cat(tied), torch.ones_like(owner))


def video_to_text_ranks(
    sim: Tensor, owner: Tensor, gallery: str = 'videos', tolerance: float = 0.0
) -> Ranks:
    """Rank of each video's own captions.

    Args:
        sim: (A, B) as in `text_to_video_ranks`.
        owner: (A,) index of each caption's video; every video needs a caption.
        gallery: ``'videos'``, as the released code of CLIP4Clip and Side4Video has it: the
            captions of one video are one item, with the best score among them; B items.
            ``'captions'``: each caption is an item, A items, and the rank is that of the
            video's best own caption; its other captions are not in the way.
        tolerance: scores that differ by no more count as tied.

    Raises:
        ValueError: as `text_to_video_ranks`; if a video has no caption; if `gallery` is
            another word.
    """
    if gallery not in GALLERIES:
        raise ValueError(
            f'video_to_text_ranks: gallery must be one of {GALLERIES}, got {gallery!r}.'
        )
    _check_tolerance(tolerance)
    owner = check_owner(sim, owner)
    members = captions_of_videos(owner, sim.shape[1])
    better: list[Tensor] = []
    tied: list[Tensor] = []
    right: list[Tensor] = []
    for columns in _slices(sim.shape[1], len(sim)):
        scores = _no_nan(sim[:, columns])
        videos = torch.arange(sim.shape[1], device=sim.device)[columns]
        items = caption_groups(scores, members)
        own = items.gather(0, videos[None])
        same = torch.ones_like(videos)
        if gallery == 'captions':
            mine = owner[:, None] == videos
            same = (mine & (scores >= own - tolerance)).sum(0)
            items = scores
        ahead = (items > own + tolerance).sum(0)
        level = (items >= own - tolerance).sum(0) - ahead - same
        _add(better, tied, ahead, level, own.flatten() == float('-inf'))
        right.append(same)
    return Ranks(torch.cat(better), torch.cat(tied), torch.cat(right))


def _check_tolerance(tolerance: float) -> None:
    if not 0 <= tolerance < float('inf'):
        raise ValueError(f'retrieval ranks: tolerance must be a number from 0, got {tolerance}.')


def check_owner(sim: Tensor, owner: Tensor) -> Tensor:
    """`owner` as int64 on the device of `sim`.

    Raises:
        ValueError: if it does not give each row of `sim` one of its columns.
    """
    if sim.dim() != 2 or 0 in sim.shape or owner.shape != sim.shape[:1]:
        raise ValueError(
            'retrieval: sim must be (captions, videos) and owner (captions,), neither empty, got '
            f'{tuple(sim.shape)} and {tuple(owner.shape)}.'
        )
    outside = (owner < 0) | (owner >= sim.shape[1])
    if outside.any():
        first = int(outside.nonzero()[0])
        raise ValueError(
            f'retrieval: {int(outside.sum())} captions without a video: caption {first} belongs '
            f'to video {int(owner[first])}, of videos 0 to {sim.shape[1] - 1}.'
        )
    return owner.to(sim.device, torch.long)


def captions_of_videos(owner: Tensor, videos: int) -> Tensor:
    """Rows of each video's captions, (B, most captions); short rows repeat their first caption.

    Raises:
        ValueError: if a video has none.
    """
    counts = torch.bincount(owner, minlength=videos)
    if not counts.all():
        empty = (counts == 0).nonzero()[:, 0].tolist()
        raise ValueError(
            f'retrieval: {len(empty)} videos without a caption, the first is video {empty[0]}. '
            'Leave them out, or rank in the text-to-video direction only (text_to_video_ranks).'
        )
    order = owner.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    steps = torch.arange(int(counts.max()), device=owner.device)
    steps = torch.where(steps < counts[:, None], steps, torch.zeros_like(steps))
    return order[starts[:, None] + steps]


def caption_groups(scores: Tensor, members: Tensor) -> Tensor:
    """Best score among each video's captions: (A, Q) with members (B, K) -> (B, Q)."""
    best = scores[members[:, 0]]
    for column in members.T[1:]:
        torch.maximum(best, scores[column], out=best)
    return best


def _add(
    better: list[Tensor], tied: list[Tensor], ahead: Tensor, level: Tensor, unfound: Tensor
) -> None:
    """Append counts; what stands level with a right answer that is never found is ahead of it."""
    better.append(torch.where(unfound, ahead + level, ahead))
    tied.append(torch.where(unfound, 0, level))


def _slices(length: int, width: int) -> Iterator[slice]:
    """Slices of `length` lines so that each holds about `BLOCK` scores of lines `width` long."""
    step = max(1, BLOCK // max(width, 1))
    return (slice(start, start + step) for start in range(0, length, step))


def _no_nan(scores: Tensor) -> Tensor:
    """The scores, whole numbers as float64; raises ValueError if one is NaN."""
    if scores.isnan().any():
        raise ValueError(
            f'retrieval: {int(scores.isnan().sum())} similarities are NaN, which have no rank. '
            'Look for NaN in the features.'
        )
    return scores if scores.is_floating_point() else scores.double()


def check_ties(ties: str) -> None:
    """Raise ValueError unless `ties` is one of `TIES`."""
    if ties not in TIES:
        raise ValueError(f'retrieval: ties must be one of {TIES}, got {ties!r}.')
