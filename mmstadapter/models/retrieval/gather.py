"""The joint batch of all processes, with the gradients of one process on the joint batch."""

import hashlib
from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

GRADIENTS = ('exact', 'released')


def gather_rows(tensors: Sequence[Tensor], gradients: str = 'exact') -> list[Tensor]:
    """Concatenate the rows of all processes, in the order of their ranks.

    Every process then computes the same loss of the joint batch. Backward gives each process
    the gradient of its own rows, without communication, and ``DistributedDataParallel``
    averages parameter gradients over the N processes:

    * ``'exact'``: the gradient of own rows is multiplied by N. Parameters before and after the
      gathering all get the gradient that one process would have on the joint batch.
    * ``'released'``: it is not, as in CLIP4Clip's and Side4Video's ``AllGather``. Parameters
      before the gathering get 1/N of that gradient, those after it the whole.

    Processes may have different numbers of rows. Without process group, or with one process,
    the tensors are returned as they are.

    Args:
        tensors: each (n, ...), with the same n here.
        gradients: ``'exact'`` or ``'released'``.

    Returns:
        Tensors of shape (n of all processes together, ...).

    Raises:
        ValueError: on all processes alike, if the shapes differ otherwise than in the rows.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return list(tensors)
    counts = _count_rows(tensors)
    factor = float(len(counts)) if gradients == 'exact' else 1.0
    return [_gather(tensor, counts, factor) for tensor in tensors]


def _count_rows(tensors: Sequence[Tensor]) -> list[int]:
    """Rows of each process, after a look at all shapes."""
    device = tensors[0].device
    sizes = torch.tensor([size for t in tensors for size in t.shape], device=device)
    # Shapes have the same length everywhere: the same model made them.
    everybody = [torch.empty_like(sizes) for _ in range(dist.get_world_size())]
    dist.all_gather(everybody, sizes)
    shapes = [_split(s.tolist(), [t.ndim for t in tensors]) for s in everybody]
    if any(a[1:] != b[1:] for row in shapes for a, b in zip(row, shapes[0], strict=True)):
        lines = '; '.join(f'process {rank}: {row}' for rank, row in enumerate(shapes))
        raise ValueError(
            'gather_rows: features of all processes must have the same shape but for the number '
            f'of rows, got {lines}. Use the same number of frames and context length everywhere.'
        )
    return [row[0][0] for row in shapes]


def _split(sizes: list[int], lengths: list[int]) -> list[tuple[int, ...]]:
    """One list of sizes -> a shape a tensor."""
    rest = iter(sizes)
    return [tuple(next(rest) for _ in range(length)) for length in lengths]


def _gather(own: Tensor, counts: list[int], factor: float) -> Tensor:
    """All rows of one tensor; the own ones stay in the graph."""
    sent = own.detach().to(torch.uint8) if own.dtype == torch.bool else own.detach()
    short = max(counts) - len(own)  # all_gather wants equal shapes
    sent = F.pad(sent, [0, 0] * (sent.ndim - 1) + [0, short]).contiguous()
    received = [torch.empty_like(sent) for _ in counts]
    dist.all_gather(received, sent)
    rows = [r[:n].to(own.dtype) for r, n in zip(received, counts, strict=True)]
    rows[dist.get_rank()] = _ScaleGradient.apply(own, factor) if own.requires_grad else own
    return torch.cat(rows)


class _ScaleGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by a number."""

    @staticmethod
    def forward(ctx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return grad * ctx.factor, None


def owner_numbers(names: Sequence[str], device: torch.device) -> Tensor:
    """Video names -> (n,) int64, equal for equal names in every process and run."""
    digests = (hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names)
    numbers = [int.from_bytes(digest, 'big', signed=True) for digest in digests]
    return torch.tensor(numbers, dtype=torch.long, device=device)
