"""Confidence intervals of retrieval metrics by the bootstrap."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**22  # weights drawn at a time


def bootstrap_intervals(
    recalls: Mapping[str, Tensor],
    ranks: Tensor,
    clusters: Tensor,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """Percentile intervals over queries drawn with replacement; the gallery stays as it is.

    The captions of one video are not independent, so whole clusters are drawn: with several
    captions a video, a video with all of its captions. One query a cluster is the ordinary
    bootstrap.

    Args:
        recalls: name -> (Q,) what each query contributes to a mean.
        ranks: (Q,) of each query; their mean is ``MnR`` and their median ``MdR``.
        clusters: (Q,) which cluster a query belongs to, any integers.
        replicates: how many samples are drawn.
        level: share of the replicates within an interval.
        seed: of the drawing.

    Returns:
        ``<name>_low`` and ``<name>_high`` of every recall, of ``MnR`` and of ``MdR``.

    Raises:
        ValueError: if there are no replicates or the level is not between 0 and 1.
    """
    if replicates < 1 or not 0 < level < 1:
        raise ValueError(
            f'bootstrap_intervals: replicates must be positive and level between 0 and 1, got '
            f'{replicates} and {level}.'
        )
    _, cluster = clusters.unique(return_inverse=True)
    values = torch.stack([*recalls.values(), ranks], dim=1).double().cpu()  # (Q, metrics)
    samples = np.concatenate(list(_replicates(values, cluster.cpu(), replicates, seed)))
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    result: dict[str, float] = {}
    for i, name in enumerate([*recalls, 'MnR', 'MdR']):
        result |= {f'{name}_low': float(low[i]), f'{name}_high': float(high[i])}
    return result


def _replicates(
    values: Tensor, cluster: Tensor, replicates: int, seed: int
) -> Iterator[np.ndarray]:
    """Blocks of (replicates, metrics + 1): weighted means, and the weighted median of the last."""
    draw = np.random.default_rng(seed)
    number = int(cluster.max()) + 1
    order = values[:, -1].argsort()
    step = max(1, BLOCK // len(values))
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        drawn = draw.multinomial(number, np.full(number, 1 / number), size=size)
        weights = torch.from_numpy(drawn)[:, cluster]  # (replicates, Q)
        means = weights.double() @ values / weights.sum(1, keepdim=True)
        median = _weighted_median(values[order, -1], weights[:, order])
        yield torch.cat([means, median[:, None]], dim=1).numpy()


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Median of sorted values (Q,) repeated by integer weights (R, Q): (R,)."""
    seen = weights.cumsum(1)
    total = seen[:, -1:]
    middle = torch.cat([(total + 1) // 2, total // 2 + 1], dim=1)
    return values[torch.searchsorted(seen, middle)].mean(1)
