"""Querybank normalisation (QB-Norm), an extra that uses a bank of other queries."""

import torch
from torch import Tensor

from .query_set import check_factor, check_finite

LARGEST = 700.0  # exp of it is near the end of float64


def querybank_norm(
    sim: Tensor, bank: Tensor, beta: float = 20.0, k: int = 1
) -> tuple[Tensor, Tensor]:
    """Dynamic inverted softmax: damp the items that are near to everything (hubs).

    Bogolin et al., Cross Modal Retrieval with Querybank Normalisation (CVPR 2022, Sec. 3.3).
    Items among the best `k` of some bank query are active. A query whose best item is active
    gets exp(beta s) / sum over the bank of exp(beta s_bank), item by item; other rows stay.
    The bank must not hold test queries: queries of the training set are the usual choice.

    Args:
        sim: (queries, items) cosines. For video to text give the transpose.
        bank: (bank queries, items) cosines of the bank with the same items.
        beta: inverse temperature, 20 in the released code.
        k: items a bank query activates, 1 in the released code. Of equal scores the earlier
            item counts.

    Returns:
        The scores (queries, items) in float64, and which rows were normalised (queries,), bool.
        Rows are on different scales: compare scores within a row only. A row whose best score
        float64 cannot hold, as with a large `beta`, is scaled into its range.

    Raises:
        ValueError: if the items differ in number, a score is not finite, `beta` is not positive
            and finite, or `k` is not between 1 and the number of items.
    """
    check_factor('querybank_norm', 'beta', beta)
    check_finite('querybank_norm', sim)
    check_finite('querybank_norm', bank)
    if bank.shape[1] != sim.shape[1] or not len(bank) or not 1 <= k <= sim.shape[1]:
        raise ValueError(
            f'querybank_norm: the bank needs at least one query over the {sim.shape[1]} items of '
            f'sim and k between 1 and {sim.shape[1]}, got {tuple(bank.shape)} and k={k}.'
        )
    best = bank.argsort(dim=1, descending=True, stable=True)[:, :k]
    active = torch.zeros(sim.shape[1], dtype=torch.bool, device=sim.device)
    active[best.flatten()] = True
    rows = active[sim.argmax(dim=1)]
    out = sim.double()
    hubs = (beta * bank.double()).logsumexp(dim=0)
    powers = beta * out[rows] - hubs
    top = powers.amax(dim=1, keepdim=True)
    out[rows] = (powers - torch.where(top.abs() > LARGEST, top - LARGEST, 0.0)).exp()
    return out, rows
