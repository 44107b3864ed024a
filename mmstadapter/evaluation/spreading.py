"""The similarity matrix by several processes, each on its own device."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, collect_results, get_dist_info
from torch import Tensor

from .features import RetrievalFeatures
from .similarity import similarity_matrix, similarity_rows

Rows = tuple[Tensor, Tensor]  # numbers of captions (a,), their similarities (a, B)
ERRORS = (OSError, RuntimeError, ValueError)  # a full disk, a full GPU, something to refuse


def told_by_first(outcome: Any) -> Any:
    """What rank 0 has, on all processes; raised there, too, if it is an error."""
    entries = [outcome]
    broadcast_object_list(entries)
    if isinstance(entries[0], ERRORS):
        raise entries[0]
    return entries[0]


def spread_matrices(
    parts: Sequence[RetrievalFeatures],
    memory: int,
    device: str,
    collect_device: str = 'cpu',
    tmpdir: str | None = None,
) -> list[Tensor] | None:
    """`similarity_matrix` of each of several sets, bit by bit; the matrices are rank 0's.

    Each process computes its share of the captions with all videos. To be called by all.

    Args:
        parts: the same on all processes.
        memory, device: of `similarity_matrix`; ``device`` is each process's own.
        collect_device, tmpdir: how the rows come to rank 0, as `collect_results` has it.

    Raises:
        RuntimeError: on all processes, with what went wrong on one.
    """
    rank, size = get_dist_info()
    if size == 1:
        return [similarity_matrix(part.text, part.video, memory, device) for part in parts]
    try:
        mine: Any = [
            similarity_rows(part.text, part.video, memory, device, (rank, size)) for part in parts
        ]
    except Exception as error:
        mine = RuntimeError(f'retrieval: rank {rank}: {type(error).__name__}: {error}')
    folder = dict(tmpdir=tmpdir) if collect_device == 'cpu' else {}
    found = collect_results([mine], size, collect_device, **folder)
    errors = [each for each in found or () if isinstance(each, ERRORS)]
    told_by_first(errors[0] if errors else None)
    return None if found is None else [_joined(rows) for rows in zip(*found, strict=True)]


def _joined(shares: Sequence[Rows]) -> Tensor:
    """The rows of all processes in the place of their captions."""
    whole = torch.empty(sum(len(items) for items, _ in shares), shares[0][1].shape[1])
    for items, rows in shares:
        whole[items] = rows
    return whole
