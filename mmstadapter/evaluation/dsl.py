"""Dual softmax (DSL), an extra that uses all queries at once."""

import torch
from torch import Tensor

from .query_set import check_factor, check_finite

BLOCK = 2**22  # scores at a time


def dual_softmax(sim: Tensor, temperature: float = 100.0) -> Tensor:
    """Each score times the softmax of its item's scores over all queries.

    Cheng et al., CAMoE (arXiv:2109.04290), at test time: sim * softmax(temperature * sim, over
    the queries). A query is then answered with knowledge of all other queries, so results are
    not comparable with those that rank each query by itself.

    Args:
        sim: (queries, items) cosines. For video to text give the transpose.
        temperature: for cosines; scores that already carry CLIP's scale of 100 need 1.

    Returns:
        (queries, items) float64, in which the softmax of cosines does not underflow.

    Raises:
        ValueError: if a score is not finite, or the temperature not positive and finite.
    """
    check_factor('dual_softmax', 'temperature', temperature)
    check_finite('dual_softmax', sim)
    out = torch.empty(sim.shape, dtype=torch.float64, device=sim.device)
    step = max(1, BLOCK // max(len(sim), 1))
    for start in range(0, sim.shape[1], step):
        items = slice(start, start + step)
        scores = sim[:, items].double()
        out[:, items] = scores * (temperature * scores).softmax(dim=0)
    return out
