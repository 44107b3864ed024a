"""What the released retrieval code reports, ties included; for certificates only.

CLIP4Clip and Side4Video (``metrics.py``, the same in both) agree with `retrieval_metrics`
when no scores are equal, up to the median of several captions a video. With ties they do not
report ranks of queries any more; docs/evaluation.md shows by how much.
"""

import numpy as np
import torch
from torch import Tensor

from .ranking import Ranks, text_to_video_ranks


def released_compute_metrics(ranks: Ranks) -> tuple[dict[str, float], Tensor]:
    """``compute_metrics``: one caption a video, both directions, and video to text of several.

    Every position that holds the score of the right answer is counted: a query tied with n
    wrong items contributes n + 1 ranks, its own best and all up to its worst, and the
    denominators grow by n.

    Returns:
        R1, R5, R10, MedianR, MeanR, and the counted positions (Q or more,).
    """
    spread = [
        torch.arange(int(better), int(better) + int(tied) + 1)
        for better, tied in zip(ranks.better, ranks.tied, strict=True)
    ]
    positions = torch.cat(spread).double()
    result = {f'R{k}': 100 * (positions < k).double().mean().item() for k in (1, 5, 10)}
    result['MedianR'] = np.median(positions.numpy()).item() + 1
    result['MeanR'] = positions.mean().item() + 1
    return result, positions


def released_text_to_video(sim: Tensor, owner: Tensor, ties: str) -> dict[str, float]:
    """``tensor_text_to_video_metrics``: text to video with several captions a video.

    The median is the lower of the two middle ranks, and Std_Rank is the population's. The
    released code ranks by an unstable sort, so what it gives for ties lies anywhere between
    `ties` ``'optimistic'`` and ``'pessimistic'``.
    """
    positions = text_to_video_ranks(sim, owner).positions(ties)
    result = {f'R{k}': 100 * (positions < k).double().mean().item() for k in (1, 5, 10)}
    result['MedianR'] = positions.median().item() + 1
    result['MeanR'] = positions.mean().item() + 1
    result['Std_Rank'] = positions.std(correction=0).item()
    return result
