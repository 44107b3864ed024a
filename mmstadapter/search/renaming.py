"""Files that were indexed under another name, known by their content.

A file is one that was indexed if it has the same size and the same SHA-256 of all its bytes: no
part of it is taken for the whole. Of the files at hand only those are read that are new or have
another time of change, and have the size of one that is missing or has changed.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from .storage import VideoStamp


def content(path: Path) -> str:
    """SHA-256 of all bytes of a file; empty where they cannot be read."""
    try:
        with open(path, 'rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except OSError:
        return ''


def renamed(
    missing: Mapping[str, VideoStamp], there: Mapping[str, VideoStamp], read: Callable[[str], str]
) -> dict[str, str]:
    """Which files are which missing ones: the present path to the one it was indexed under.

    Args:
        missing: what was indexed and is no more as it was, by path, with its ``sha256``.
        there: files that are new or have changed, by path.
        read: gives the SHA-256 of a file; called for those of the size of a missing one.
    """
    left: dict[tuple[int, str], list[str]] = {}
    for path, stamp in missing.items():
        if stamp.sha256:
            left.setdefault((stamp.size, stamp.sha256), []).append(path)
    sizes, found = {size for size, _ in left}, {}
    for path in [path for path, stamp in there.items() if stamp.size in sizes]:
        if olds := left.get((there[path].size, read(path))):
            old = min(olds, key=lambda old: (old != path, _name(old) != _name(path), old))
            olds.remove(old)
            found[path] = old
    return found


def _name(path: str) -> str:
    return path.rpartition('/')[2]
