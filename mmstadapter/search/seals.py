"""Checksums of an index's files, so that damaged features answer no question.

The manifest keeps each file's sha256, size and time of change. An index of up to 256 MiB is
compared with its checksums whenever it is opened, which takes a fifth of a second at most. Of a
larger one a file is compared when its size or time of change is not the noted one, so also after
it was copied; `mmstadapter index` then notes the new ones. Files of older versions have none.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .storage import VideoIndexError

ALWAYS = 256 << 20  # bytes that are read again whenever an index is opened


def seal(path: Path) -> dict[str, Any]:
    """What the manifest keeps of a file that was just written."""
    return dict(sha256=_sha256(path), **_stamp(path))


def small(folder: Path, entries: Iterable[Mapping[str, Any]]) -> bool:
    """Whether all files of an index together are read in no time."""
    files = (folder / entry['file'] for entry in entries)
    return sum(file.stat().st_size for file in files if file.is_file()) <= ALWAYS


def check_seal(path: Path, entry: Mapping[str, Any], always: bool) -> None:
    """Raise if a file is not as it was written.

    Args:
        path: the file.
        entry: its entry in the manifest.
        always: compare it even if size and time of change are the noted ones.

    Raises:
        VideoIndexError: if its checksum is another one.
    """
    if 'sha256' not in entry or not path.is_file():
        return  # of an older version; or absent, which opening it says
    changed = any(entry.get(key) != value for key, value in _stamp(path).items())
    if (always or changed) and _sha256(path) != entry['sha256']:
        raise VideoIndexError(
            f'{path}: this part of the index is not the one that was written: its checksum is '
            'another. Call `mmstadapter index` with the folder of the videos; it makes it anew'
        )


def note_stamp(path: Path, entry: dict[str, Any]) -> None:
    """Note size and time of change of a file that was compared, as after copying."""
    if 'sha256' in entry and path.is_file():
        entry.update(_stamp(path))


def _stamp(path: Path) -> dict[str, int]:
    state = path.stat()
    return dict(size=state.st_size, mtime_ns=state.st_mtime_ns)


def _sha256(path: Path) -> str:
    try:
        with open(path, 'rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except OSError as error:
        raise VideoIndexError(f'{path}: this part of the index cannot be read: {error}') from error
