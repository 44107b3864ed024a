"""The approximate first stage: one vector a segment, in a faiss index over the first rows.

faiss (extra ``search``) is optional: without it the first stage compares with every vector.
"""

from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..weights.saving import written_whole
from .columns import ALWAYS, file_checksum, is_changed
from .manifest import Manifest
from .storage import VideoIndexError

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
    """Inverted lists over the vectors of the first rows, 16 bit, mapped into memory.

    Vectors are put into about 4·sqrt(n) lists around k-means centres (spherical, on a sample);
    a query looks into the lists of the nearest centres.

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
        self.rows = rows
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
    def write(path: Path, vectors: Tensor, seed: int = 0) -> None:
        """Build the lists of vectors (n, E).

        Raises:
            ImportError: without faiss.
        """
        faiss = load_faiss()
        if faiss is None:
            raise ImportError(ABSENT)
        rows, width = vectors.shape
        count = 1 << round(np.log2(4 * sqrt(rows)))
        lists = faiss.index_factory(width, f'IVF{count},SQfp16', faiss.METRIC_INNER_PRODUCT)
        lists.cp.spherical, lists.cp.seed = True, seed
        generator = torch.Generator().manual_seed(seed)
        sample = torch.randperm(rows, generator=generator)[: count * SAMPLES_A_LIST].sort().values
        lists.train(vectors[sample].float().numpy())
        _write(faiss, lists, vectors, path)

    @staticmethod
    def extend(old: Path, new: Path, vectors: Tensor) -> None:
        """The lists of ``old`` with further vectors, around the same centres."""
        faiss = load_faiss()
        if faiss is None:
            raise ImportError(ABSENT)
        _write(faiss, faiss.read_index(str(old)), vectors, new)


def _write(faiss: ModuleType, lists: Any, vectors: Tensor, path: Path) -> None:
    for block in vectors.split(BLOCK):
        lists.add(block.float().numpy())
    with written_whole(path) as part:
        faiss.write_index(lists, str(part))


def stage_path(folder: Path, manifest: Manifest, rows: int) -> Path:
    """The file of the stage over the first rows."""
    return folder / f'approximate-{manifest.generation:06d}-{rows}.faiss'


def open_stage(folder: Path, manifest: Manifest) -> Approximate | None:
    """The stage of an index, or None if it has none.

    Raises:
        ImportError: without faiss.
        VideoIndexError: if the file is absent, damaged or not the one that was written.
    """
    entry = manifest.approximate
    if entry is None:
        return None
    try:
        path = stage_path(folder, manifest, entry['rows'])
        changed = path.stat().st_size <= ALWAYS or is_changed(path, manifest)
        if changed and file_checksum(path) != entry['sha256']:
            raise VideoIndexError(f'{path}: is not the one that was written')
    except (OSError, KeyError) as error:
        raise VideoIndexError(f'{path}: cannot be read: {error}') from error
    return Approximate(path, entry['rows'])
