"""From features to figures, with the extras that use the query set under names of their own."""

from typing import Any

import torch
from torch import Tensor

from .dsl import dual_softmax
from .features import RetrievalFeatures
from .qb_norm import querybank_norm
from .recall import retrieval_metrics
from .similarity import similarity_matrix

# Before the names of figures that cannot be compared with the plain ones.
DSL, QB_NORM = 'dsl_with_all_queries/', 'qb_norm_with_query_bank/'


def feature_metrics(
    features: RetrievalFeatures,
    dsl: bool = False,
    bank: RetrievalFeatures | None = None,
    memory: int = 256 * 2**20,
    device: str | torch.device | None = None,
    sim: Tensor | None = None,
    **options: Any,
) -> dict[str, float]:
    """`retrieval_metrics` of features, and of the extras asked for.

    Args:
        features: of the test set. Lost videos are found by no query and find nothing.
        dsl: also with `dual_softmax`, under ``dsl_with_all_queries/``.
        bank: features of a training set, to report `querybank_norm` with it under
            ``qb_norm_with_query_bank/``. Its lost videos are left out.
        memory, device: of `similarity_matrix`. The matrix itself comes on top (4 bytes a pair),
            and for an extra two in float64.
        sim: their `similarity_matrix` on the CPU, if it is there already; it is written into.
        options: of `retrieval_metrics`.

    Raises:
        ValueError: if the bank holds a video of the test set or does not fit, or an option is
            unknown.
    """
    if sim is None:
        sim = similarity_matrix(features.text, features.video, memory, device)
    found = torch.ones(sim.shape[1], dtype=torch.bool)
    if features.lost is not None and features.lost.any():
        found = ~features.lost.bool()
        sim[:, ~found] = float('-inf')
    result = retrieval_metrics(sim, features.owner, **options)
    if dsl:
        both = dual_softmax(sim[:, found]), dual_softmax(sim[:, found].T)
        result |= _extra(DSL, both, found, features.owner, options)
    if bank is not None:
        _check_bank(bank, features)
        captions = similarity_matrix(bank.text, features.video, memory, device)[:, found]
        kept = bank.video
        if bank.lost is not None:
            kept = {name: tensor[~bank.lost.bool()] for name, tensor in bank.video.items()}
        videos = similarity_matrix(features.text, kept, memory, device).T
        by_caption, _ = querybank_norm(sim[:, found], captions)
        by_video, _ = querybank_norm(sim[:, found].T, videos)
        result |= _extra(QB_NORM, (by_caption, by_video), found, features.owner, options)
    return result


def _extra(
    name: str, both: tuple[Tensor, Tensor], found: Tensor, owner: Tensor, options: dict
) -> dict[str, float]:
    """Metrics of (A, found) and (found, A) scores, the lost videos at -inf."""
    if not found.all():
        whole = [s.new_full((len(owner), len(found)), float('-inf')) for s in both]
        whole[0][:, found], whole[1][:, found] = both[0], both[1].T
        both = whole[0], whole[1].T
    metrics = retrieval_metrics(both[0], owner, video_text=both[1], **options)
    return {name + key: value for key, value in metrics.items()}


def _check_bank(bank: RetrievalFeatures, features: RetrievalFeatures) -> None:
    """Raise ValueError if the bank holds test videos."""
    shared = set(bank.video_ids) & set(features.video_ids)
    if shared:
        raise ValueError(
            f'querybank_norm: {len(shared)} videos of the bank are test videos, the first is '
            f'{min(shared)!r}. Make the bank from the training set.'
        )
