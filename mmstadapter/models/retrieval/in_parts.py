"""Encode a large batch in small parts, with the gradients of the whole."""

from collections.abc import Callable
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..ops.batch_norm import contexts_of_recomputation
from ..ops.sync_batch_norm import is_synchronised


def encode_in_parts(
    encode: Callable[[Tensor], tuple[Tensor, ...]], module: nn.Module, x: Tensor, size: int | None
) -> tuple[Tensor, ...]:
    """``encode(x)``, holding what backward needs of ``size`` rows at a time.

    Exact contrastive accumulation in two passes (Gao et al., "Scaling Deep Contrastive
    Learning Batch Size under Memory Limited Setup", 2021): the first pass computes all features
    and keeps nothing else, the loss of the whole batch gives their gradients, and backward
    encodes part by part again and back-propagates each part before the next. Random numbers
    and autocast are those of the first pass. Written as checkpoints, so that autograd sees
    one graph: loss scaling, clipping, accumulation and ``DistributedDataParallel``, which must
    see each gradient once, need not know of it.

    The encoder runs twice forward. Batch norms see a part, not the batch: statistics are
    a part's, and running statistics are updated once for each part, in the first pass.

    Args:
        encode: (n, ...) -> tensors with n rows, each row from its own alone but for
            batch norms.
        module: what ``encode`` runs; its batch norms are held still in the second pass.
        x: (n, ...).
        size: rows of a part; ``None`` for all at once.

    Returns:
        The tensors of ``encode`` for all rows.

    Raises:
        ValueError: on all processes alike, if batch norms take the statistics of all
            processes, and these have different numbers of parts.
    """
    if size is not None:
        _check_equal_parts(module, -(-x.shape[0] // size), x.device)
    if size is None or x.shape[0] <= size:
        return encode(x)
    run: Callable = encode
    if torch.is_grad_enabled():
        contexts = partial(contexts_of_recomputation, module)
        run = partial(checkpoint, encode, use_reentrant=False, context_fn=contexts)
    parts = []
    for part in x.split(size):
        # Else all parts share one 16-bit copy of each weight, and its gradient sums in 16 bit.
        torch.clear_autocast_cache()
        parts.append(run(part))
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


def _check_equal_parts(module: nn.Module, parts: int, device: torch.device) -> None:
    """Synchronised norms wait for every process at every part, else for ever."""
    waits = any(is_synchronised(m) and m.training for m in module.modules())
    if not waits or not (dist.is_available() and dist.is_initialized()):
        return
    counts = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([parts], device=device))
    numbers = [int(count) for count in counts]
    if len(set(numbers)) > 1:
        raise ValueError(
            'encode_in_parts: with sync_bn every process must have the same number of parts, got '
            f'{numbers}. Give all processes equal batches (drop_last=True in the loader), or '
            'leave out sync_bn or micro_batch.'
        )
