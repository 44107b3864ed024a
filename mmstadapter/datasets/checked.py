"""What `mmstadapter check` wrote down about videos, and whether they still are those videos.

A table is a text file, one json object a line (:class:`Entry`); json keeps any file name. It is
``checked.jsonl`` in a folder of videos, with paths relative to that folder, or
``<list>.checked.jsonl`` beside an annotation file, with paths as in the list.
"""

import base64
import json
import os
import random
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from .packets import VideoReadError

NAME = 'checked.jsonl'
BLOCK = 1 << 16  # bytes of a checksum
SAMPLED = 64  # blocks looked at in a reading: 4 MiB
AGAIN = '`mmstadapter check` says more'
_CHANCE = random.SystemRandom()  # draws nothing from the numbers that make a training repeatable


@dataclass(frozen=True)
class Entry:
    """A video, or a folder of images, when it was checked.

    Attributes:
        path: relative to the table's root.
        size: bytes; of all images for a folder.
        mtime_ns: time of the last change; the latest of a folder's images.
        sha256: of all bytes; of a folder's images one after the other.
        crc32: CRC-32 of each block of 64 KiB, of each image of a folder; base64 of uint32, little
            endian.
        frames: decoded.
        seconds: from the first frame to the end of the last; 0.0 for images.
        wrong: why it cannot be decoded; empty where all of it could be.
        on: the day, as 2026-11-26.
        first: number of a folder's first image; None for a file.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    crc32: str
    frames: int
    seconds: float
    wrong: str
    on: str
    first: int | None = None

    def line(self) -> str:
        """One line of the table, in ASCII."""
        return json.dumps({k: v for k, v in asdict(self).items() if v is not None}) + '\n'

    @cached_property
    def sums(self) -> np.ndarray:
        """The checksums of ``crc32``."""
        return np.frombuffer(base64.b64decode(self.crc32), '<u4')

    def is_stamped(self, size: int, mtime_ns: int) -> bool:
        """Whether size and time of change are those of the file that was checked."""
        return (self.size, self.mtime_ns) == (size, mtime_ns)

    def refuse_changed(self, path: str) -> None:
        """Compare a file with this entry.

        Its size, and of its content the first, the last and 62 others, which differ from
        one call to the next; everything in files up to 4 MiB, or whose time of change differs.

        Raises:
            VideoReadError: if it changed, or could not be decoded when it was checked.
        """
        with open(path, 'rb') as file:
            state = os.fstat(file.fileno())
            stamped = self.is_stamped(state.st_size, state.st_mtime_ns)
            if self.wrong and not stamped:
                return  # repaired since
            if self.wrong:
                reason = f'could not be decoded when it was checked on {self.on}: {self.wrong}'
                raise VideoReadError(path, reason)
            if state.st_size != self.size:
                sizes = f'{self.size} bytes then, {state.st_size} now'
                raise VideoReadError(path, f'changed since it was checked on {self.on}: {sizes}')
            for number in sample(len(self.sums)) if stamped else range(len(self.sums)):
                content = os.pread(file.fileno(), BLOCK, number * BLOCK)
                self.refuse_other(path, number, content, f'byte {number * BLOCK}')

    def refuse_other(self, path: str, number: int, content: bytes, place: str) -> None:
        """Compare a block, or an image, with its checksum.

        Raises:
            VideoReadError: if it is another, or none was there.
        """
        if not 0 <= number < len(self.sums) or zlib.crc32(content) != self.sums[number]:
            reason = f'changed since it was checked on {self.on}: other content at {place}'
            raise VideoReadError(path, f'{reason}; {AGAIN}')


def sample(count: int) -> Iterable[int]:
    """Numbers of at most 64 of so many blocks: the first, the last, and others at random."""
    if count <= SAMPLED:
        return range(count)
    return [0, *sorted(_CHANCE.sample(range(1, count - 1), SAMPLED - 2)), count - 1]


def pack(sums: Iterable[int]) -> str:
    """Checksums as ``Entry.crc32`` holds them."""
    return base64.b64encode(np.array(list(sums), '<u4').tobytes()).decode()


def read_table(path: str | Path) -> dict[str, Entry]:
    """The entries of a table by their paths.

    Raises:
        ValueError: with the number of a line that is not an entry.
    """
    entries = {}
    lines = Path(path).read_text(encoding='ascii', errors='replace').splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = Entry(**json.loads(line))
            entry.sums  # noqa: B018  (no base64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: line {number} is none that `mmstadapter check` writes ({error}). Remove '
                'the file and check again.'
            ) from None
        entries[entry.path] = entry
    return entries


def table_of_list(ann_file: str) -> str:
    """The table of an annotation file; empty where there is none."""
    path = f'{ann_file}.{NAME}'
    return path if os.path.isfile(path) else ''


def find(path: str, table: str = '', root: str = '') -> Entry | None:
    """What is written about a video, in a list's table or that of a folder above it.

    Args:
        path: the video file or folder of images.
        table: of the annotation file, see :func:`table_of_list`; goes first.
        root: the folder that paths in that list are relative to.

    Raises:
        ValueError: if a table is damaged.
    """
    path = os.path.abspath(path)
    if table and os.path.isfile(table):  # it may be taken away at any time
        entry = _entries(table).get(os.path.relpath(path, root or '.'))
        if entry is not None:
            return entry
    folder = path
    while folder != (folder := os.path.dirname(folder)):
        place = os.path.join(folder, NAME)
        if os.path.isfile(place):
            entry = _entries(place).get(path[len(folder) :].lstrip('/'))
            if entry is not None:
                return entry
    return None


def _entries(path: str) -> dict[str, Entry]:
    """A table, read anew when it changes; loaders that fork find it read."""
    return _read(path, os.stat(path).st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: str, mtime_ns: int) -> dict[str, Entry]:
    return read_table(path)
