"""What an index's folder may hold, who may write there, and the errors of both."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from ..printing import shown

MANIFEST, LOCK = 'index.json', 'lock'
OURS = re.compile(
    r'lock|(index\.json|approximate-\d+-\d+\.faiss)(\.[0-9a-f]{32}\.part)?'
    r'|(times|vector|tokens|weights|mask|pooled)-\d+\.column'
)


class VideoIndexError(ValueError):
    """A video index that is absent, damaged, in use, or of another model."""


@dataclass(frozen=True)
class VideoStamp:
    """A video file as it was indexed: path below the root, bytes, time of change, content."""

    path: str
    size: int
    mtime_ns: int
    sha256: str = field(default='', compare=False)  # of all bytes; empty if not known


def refuse_outside(names: Iterable[str]) -> None:
    """Raise if a name is not one of a file below the root: an index may come from anybody.

    Raises:
        VideoIndexError: with the name.
    """
    for name in names:
        if name and name[0] not in './' and '..' not in name and '\0' not in name:
            continue  # nearly all, of which there may be a million
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or '..' in path.parts or '\0' in name:
            raise VideoIndexError(
                f'VideoIndex: the index names {shown(name)!r}, which is no file below its root, so '
                'mmstadapter did not write it. Nothing of it is read; make one of your own videos.'
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only process that writes this index; the lock ends with the process, however.

    Raises:
        VideoIndexError: if another process is writing it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        lock = FileLock(path).acquire(timeout=0)
    except Timeout:
        writer = path.read_text(encoding='utf-8', errors='replace')
        raise VideoIndexError(
            f'VideoIndex: {writer or "another process"} is writing {folder}. Wait for it, or '
            'choose another folder with --index; searching goes on meanwhile.'
        ) from None
    with lock:
        path.write_text(f'process {os.getpid()} on {os.uname().nodename}', encoding='utf-8')
        yield
