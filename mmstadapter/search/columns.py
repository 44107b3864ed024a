"""The numbers of a video index: columns that only grow, compared with their checksums.

A column is a file of raw numbers, one row a segment. Rows behind the last one that counts are what
a process had added when it died. An index of up to 256 MiB is compared with its checksums whenever
it is opened, which takes a fifth of a second at most; of a larger one a column is compared when
its size or time of change is not the noted one, so also after it was copied and while it grows.
"""

import hashlib
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..weights.saving import flush
from .manifest import Block, Manifest
from .storage import VideoIndexError

# Vectors are stored in 16 bit: a cosine changes by less than 1e-4.
KINDS = dict(times='<f8', vector='<f2', tokens='<f2', weights='<f4', mask='?', pooled='<f2')
FEATURES = ('vector', 'tokens', 'weights', 'mask')
ALWAYS = 256 << 20  # bytes that are read again whenever an index is opened


def column_paths(folder: Path, manifest: Manifest) -> dict[str, Path]:
    """The file of each column; a new generation of them is written without what was dropped."""
    number = manifest.generation
    return {name: folder / f'{name}-{number:06d}.column' for name in manifest.layout}


def stored(name: str, values: Tensor) -> Tensor:
    """Values of a column in the type they are stored in."""
    return values.cpu().to(torch.from_numpy(np.empty(0, KINDS[name])).dtype).contiguous()


def append(path: Path, before: int, values: Tensor) -> str:
    """Put rows behind the first ``before`` ones of a column; gives their checksum.

    Raises:
        OSError: if there is no room, with the name of the file.
    """
    try:
        with open(path, 'ab') as file:
            file.truncate(before * row_bytes(values))
            file.write(values.numpy().data)
        flush(path)
        flush(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    return _checksum(values)


def row_bytes(column: Tensor) -> int:
    """Of one row of a column."""
    return prod(column.shape[1:]) * column.element_size()


def open_columns(folder: Path, manifest: Manifest, rows: int) -> dict[str, Tensor]:
    """The first rows of all columns, mapped into memory: what is not looked at is not read.

    Raises:
        VideoIndexError: if one is absent, too short, or nothing that an index has.
    """
    columns = {}
    for name, path in column_paths(folder, manifest).items():
        try:
            kind, shape = KINDS[name], (rows, *manifest.layout[name])
            array = np.memmap(path, kind, 'c', shape=shape) if rows else np.empty(shape, kind)
        except (OSError, ArithmeticError, ValueError, LookupError, TypeError) as error:
            raise VideoIndexError(
                f'{path}: this part of the index cannot be read: {error}'
            ) from error
        columns[name] = torch.from_numpy(array)
    return columns


def rows_there(folder: Path, manifest: Manifest) -> int:
    """How many of the rows that count all columns have; fewer if files were cut or lost."""
    columns, paths = open_columns(folder, manifest, 0), column_paths(folder, manifest)
    there = [_size(path) // row_bytes(columns[name]) for name, path in paths.items()]
    return min([manifest.rows, *there])


def damaged(
    folder: Path, manifest: Manifest, columns: Mapping[str, Tensor]
) -> Iterator[tuple[Block, Path]]:
    """The rows that are not as they were written, and in which file."""
    paths = column_paths(folder, manifest)
    always = sum(map(_size, paths.values())) <= ALWAYS
    looked_at = [name for name, path in paths.items() if always or is_changed(path, manifest)]
    for block in manifest.blocks:
        parts = {name: columns[name][block.start : block.stop] for name in looked_at}
        for name, part in parts.items():
            if len(part) < block.stop - block.start or _checksum(part) != block.sums.get(name):
                yield block, paths[name]
                break


def is_changed(path: Path, manifest: Manifest) -> bool:
    """Whether size or time of change of a file is not what was noted."""
    return manifest.noted.get(path.name) != note(path)


def note(path: Path) -> list[int] | None:
    """What is noted of a file that is as it was written: a list, as it comes back from JSON."""
    if not path.is_file():
        return None
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def file_checksum(path: Path) -> str:
    """Of a whole file."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _checksum(values: Tensor) -> str:
    return hashlib.sha256(values.numpy().reshape(-1).view('u1').data).hexdigest()
