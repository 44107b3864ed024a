"""The approximate first stage: one vector a segment, in a faiss index over the shards.

faiss (extra ``search``) is optional: without it the first stage compares with every vector.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .storage import Shard, VideoIndexError, replacing

WORTHWHILE = 50_000  # segments from which on the approximate stage is built
LISTS_LOOKED_AT = 128  # of about 4 sqrt(n); see benchmarks/search_recall_*.md
SAMPLES_A_LIST = 64  # vectors to find each list's centre from
BLOCK = 65_536  # vectors held as float32 at a time
ABSENT = (
    'faiss is not installed, so every search compares with all segments. `pip install '
    "'mmstadapter[search]'` brings the approximate first stage."
)


def pooled(features: Mapping[str, Tensor]) -> Tensor:
    """One unit vector an item, (n, E) float32: its vector, or the weighted mean of its tokens.

    The first stage ranks by the cosine of these; token-wise features are re-ranked by
    :func:`mmstadapter.score`.
    """
    if 'vector' in features:
        return features['vector'].float()
    mean = torch.einsum('nl,nle->ne', features['weights'].float(), features['tokens'].float())
    return F.normalize(mean, dim=-1)


def load_faiss() -> ModuleType | None:
    """faiss, with torch's number of threads, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss


class Approximate:
    """Inverted lists over the vectors of some shards, 16 bit, mapped into memory.

    Vectors are put into about 4·sqrt(n) lists around k-means centres (spherical, on a sample);
    a query looks into the lists of the nearest centres. A row is the number of a segment,
    counted through the shards in their order.

    Args:
        path: the file that :meth:`write` made.
        rows: vectors it must have.

    Raises:
        ImportError: without faiss.
        VideoIndexError: if the file is absent or damaged.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.faiss = load_faiss()
        if self.faiss is None:
            raise ImportError(ABSENT)
        flags = self.faiss.IO_FLAG_MMAP | self.faiss.IO_FLAG_READ_ONLY
        try:
            self.lists = self.faiss.read_index(str(path), flags)
        except (RuntimeError, MemoryError) as error:  # the latter for sizes that cannot be
            raise VideoIndexError(f'{path}: cannot be read: {str(error).splitlines()[0]}') from None
        if self.lists.ntotal != rows:
            raise VideoIndexError(f'{path}: has {self.lists.ntotal} vectors instead of {rows}')

    def search(
        self, vectors: Tensor, count: int, alive: Tensor | None = None, lists: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The nearest rows of each query.

        Args:
            vectors: (A, E) unit vectors.
            count: rows to give.
            alive: (rows,) bool, the rows that count; all if None.
            lists: how many lists to look into.

        Returns:
            Cosines (A, count) and rows (A, count), best first, -1 where there are no more.
        """
        options = dict(nprobe=lists or LISTS_LOOKED_AT)
        if alive is not None:
            options['sel'] = self.faiss.IDSelectorBitmap(
                np.packbits(alive.numpy(), bitorder='little')
            )
        parameters = self.faiss.SearchParametersIVF(**options)
        cosines, rows = self.lists.search(vectors.numpy(), count, params=parameters)
        return torch.from_numpy(cosines), torch.from_numpy(rows)

    @staticmethod
    def write(path: Path, shards: Sequence[Shard], seed: int = 0) -> None:
        """Build the lists of all rows of the shards.

        Raises:
            ImportError: without faiss.
        """
        faiss = load_faiss()
        if faiss is None:
            raise ImportError(ABSENT)
        rows, width = sum(shard.rows for shard in shards), shards[0].vectors.shape[1]
        count = 1 << round(np.log2(4 * sqrt(rows)))
        lists = faiss.index_factory(width, f'IVF{count},SQfp16', faiss.METRIC_INNER_PRODUCT)
        lists.cp.spherical, lists.cp.seed = True, seed
        lists.train(_sample(shards, min(rows, count * SAMPLES_A_LIST), seed))
        for block in _blocks(shards):
            lists.add(block)
        with replacing(path) as unfinished:
            faiss.write_index(lists, str(unfinished))

    @staticmethod
    def extend(old: Path, new: Path, shards: Sequence[Shard]) -> None:
        """The lists of ``old`` with all rows of further shards, around the same centres."""
        faiss = load_faiss()
        if faiss is None:
            raise ImportError(ABSENT)
        lists = faiss.read_index(str(old))
        for block in _blocks(shards):
            lists.add(block)
        with replacing(new) as unfinished:
            faiss.write_index(lists, str(unfinished))


def _sample(shards: Sequence[Shard], count: int, seed: int) -> np.ndarray:
    """Some of the vectors, evenly from all shards, (about count, E) float32."""
    generator = torch.Generator().manual_seed(seed)
    total, parts = sum(shard.rows for shard in shards), []
    for shard in shards:
        share = min(shard.rows, -(-shard.rows * count // total))
        chosen = torch.randperm(shard.rows, generator=generator)[:share].sort().values
        parts.append(shard.vectors[chosen])
    return torch.cat(parts).float().numpy()


def _blocks(shards: Sequence[Shard]):
    """All vectors in order, as (n, E) float32 arrays."""
    for shard in shards:
        for block in shard.vectors.split(BLOCK):
            yield block.float().numpy()
