"""The vectors of an index as files that others read: NumPy arrays, or one Parquet table."""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..weights.saving import folder_written_whole, written_whole
from .video_index import VideoIndex

FORMATS = ('npy', 'parquet')
BLOCK = 1 << 24  # numbers in memory at a time
BESIDE = ('tokens', 'weights', 'mask')  # of token-wise models, beside the pooled vector


def export_index(index: str | Path | VideoIndex, out: str | Path, to: str = 'npy') -> int:
    """Write what an index holds: video, from, to and vector of every segment.

    The vector is the one that `--like` compares: of unit length, float32. Token-wise models have
    ``tokens``, ``weights`` and perhaps ``mask`` beside it, which the model's own similarity needs.

    Args:
        index: an index or its folder.
        out: ``'npy'``: a folder, made here, of ``segments.csv`` (row, video, start, end),
            ``vector.npy`` (rows, E) and one file more for each of the others. ``'parquet'``: a
            file, of which a row is a segment.
        to: ``'npy'`` or ``'parquet'``; the latter needs pyarrow (extra ``parquet``).

    Returns:
        The number of segments. Either all of them are written or nothing.

    Raises:
        ValueError: for another format, or an index without segments.
        FileExistsError: if the folder for ``'npy'`` holds files.
        ImportError: without pyarrow.
    """
    if to not in FORMATS:
        raise ValueError(f'export_index: to must be one of {FORMATS}, got {to!r}.')
    index = index if isinstance(index, VideoIndex) else VideoIndex(index)
    if not len(index):
        raise ValueError(f'export_index: {index.folder} has no segments, so nothing is written.')
    (_write_npy if to == 'npy' else _write_parquet)(index, Path(out))
    return len(index)


def _blocks(index: VideoIndex) -> Iterator[tuple[list[str], dict[str, np.ndarray]]]:
    """The segments that count: names of their videos, and their numbers."""
    rows = index.alive.nonzero()[:, 0]
    width = sum(column[:1].numel() for column in index.columns.values())
    for part in rows.split(max(1, BLOCK // width)):
        columns = {name: index.columns[name][part] for name in ('times', *BESIDE)
                   if name in index.columns}  # fmt: skip
        columns['vector'] = index.vectors[part]
        names = [os.fsencode(index.hit(row, 0).video) for row in part.tolist()]
        texts = [name.decode(errors='backslashreplace') for name in names]  # may be no text
        yield texts, {name: _plain(column) for name, column in columns.items()}


def _plain(column: Tensor) -> np.ndarray:
    return (column if column.dtype in (torch.bool, torch.float64) else column.float()).numpy()


def _write_npy(index: VideoIndex, out: Path) -> None:
    with _folder_whole(out) as part, open(part / 'segments.csv', 'w', encoding='utf-8',
                                          newline='') as file:  # fmt: skip
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['row', 'video', 'start', 'end'])
        arrays: dict[str, Any] = {}
        row = 0
        for names, columns in _blocks(index):
            times = columns.pop('times').round(3).tolist()
            numbers = range(row, row + len(names))
            table.writerows([n, v, *t] for n, v, t in zip(numbers, names, times, strict=True))
            for name, values in columns.items():
                if name not in arrays:
                    shape = (len(index), *values.shape[1:])
                    arrays[name] = np.lib.format.open_memmap(
                        part / f'{name}.npy', 'w+', values.dtype, shape
                    )
                arrays[name][row : row + len(values)] = values
            row += len(names)
        for array in arrays.values():
            array.flush()


@contextmanager
def _folder_whole(out: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` at the end, or is gone."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f'export_index: {out} is there already. Name a folder that is not, or is empty.'
        )
    with folder_written_whole(out) as part:
        yield part


def _write_parquet(index: VideoIndex, out: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            "export_index: 'parquet' needs pyarrow: pip install 'mmstadapter[parquet]'; 'npy' "
            'needs nothing.'
        ) from error
    about = dict(root=os.fsencode(index.root), seconds=str(index.seconds),
                 model=str(index.model.get('name', '')))  # fmt: skip
    writer = None
    with written_whole(out) as part:
        try:
            for names, columns in _blocks(index):
                times = columns.pop('times').round(3)
                arrays = dict(video=pa.array(names), start=pa.array(times[:, 0].copy()),
                              end=pa.array(times[:, 1].copy()))  # fmt: skip
                arrays |= {name: _nested(pa.array, pa.FixedSizeListArray.from_arrays, values)
                           for name, values in columns.items()}  # fmt: skip
                table = pa.table(arrays).replace_schema_metadata(about)
                writer = writer or pq.ParquetWriter(part, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()


def _nested(array: Callable, lists: Callable, values: np.ndarray) -> Any:
    """(n, L, E) as n lists of L lists of E numbers."""
    found = array(values.reshape(-1))
    for size in reversed(values.shape[1:]):
        found = lists(found, size)
    return found
