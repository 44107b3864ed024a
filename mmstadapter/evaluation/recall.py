"""Recall at K, median and mean rank of text-video retrieval."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .bootstrap import bootstrap_intervals
from .ranking import Ranks, check_ties, text_to_video_ranks, video_to_text_ranks

CUTOFFS = (1, 5, 10, 50)


def summarise(
    ranks: Ranks, ties: str = 'expected', cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, float]:
    """R<K> in per cent, MdR and MnR (median and mean, 1 at best), ``queries`` and ``tied``.

    The median is that of the queries' positions, the mean of the middle two for an even
    number; ``tied`` is the number of queries whose answer shares its score with a wrong item.
    """
    positions = ranks.positions(ties)
    result = {f'R{k}': 100 * ranks.hits(k, ties).mean().item() for k in cutoffs}
    result['MdR'] = np.median(positions.cpu().numpy()).item() + 1
    result['MnR'] = positions.mean().item() + 1
    return result | dict(queries=len(positions), tied=int((ranks.tied > 0).sum()))


def retrieval_metrics(
    sim: Tensor,
    owner: Tensor | None = None,
    ties: str = 'expected',
    gallery: str = 'videos',
    cutoffs: Sequence[int] = CUTOFFS,
    tolerance: float = 0.0,
    bootstrap: int = 0,
    video_text: Tensor | None = None,
) -> dict[str, float]:
    """Metrics of both directions, named ``t2v/R1`` ... ``v2t/MnR``.

    Args:
        sim: (A, B) similarity of captions and videos.
        owner: (A,) index of each caption's video. None: caption i belongs to video i.
        ties: how equal scores are ranked, see `Ranks`.
        gallery: what videos are ranked against, see `video_to_text_ranks`.
        cutoffs: the K of recall at K.
        tolerance: scores that differ by no more count as tied.
        bootstrap: number of replicates for 95 % intervals, named ``t2v/R1_low`` and
            ``t2v/R1_high``; 0 for none. See `bootstrap_intervals`.
        video_text: (B, A), for methods that score the second direction otherwise (`dual_softmax`,
            `querybank_norm`).

    Raises:
        ValueError: if shapes or indices do not fit, a score is NaN, a video has no caption, or
            an option is unknown.
    """
    check_ties(ties)
    if owner is None:
        owner = torch.arange(len(sim))
    other = sim if video_text is None else video_text.T
    directions = dict(
        t2v=(text_to_video_ranks(sim, owner, tolerance), owner),
        v2t=(video_to_text_ranks(other, owner, gallery, tolerance), torch.arange(other.shape[1])),
    )
    result: dict[str, float] = {}
    for name, (ranks, clusters) in directions.items():
        values = summarise(ranks, ties, cutoffs)
        if bootstrap:
            recalls = {f'R{k}': 100 * ranks.hits(k, ties) for k in cutoffs}
            positions = ranks.positions(ties) + 1
            values |= bootstrap_intervals(recalls, positions, clusters, bootstrap)
        result |= {f'{name}/{key}': value for key, value in values.items()}
    return result
