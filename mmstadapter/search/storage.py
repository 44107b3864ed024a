"""The files of a video index: shards of features, written once, and a manifest that lists them.

A shard is a safetensors file: features of a few hundred or thousand segments, their times, and
as metadata which videos they are of. The manifest, ``index.json``, says which shards count, so a
file that is being written, or was when a process died, is not part of the index. Every file is
written beside its place and renamed. Nothing here is a pickle.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..printing import shown

FORMAT = 'mmstadapter-video-index-1'
MANIFEST, LOCK, PART = 'index.json', 'lock', '.part'
OURS = re.compile(r'lock|(index\.json|shard-\d+\.safetensors|approximate-\d+\.faiss)(\.part)?')
ENTRIES = dict(
    root=str, seconds=int | float, features=dict | None, next=int,
    approximate=dict | None, shards=list, bad=dict, model=dict,
)  # fmt: skip
PARTS = dict(  # what is in the entries of three of them
    shards=dict(file=str, rows=int, dropped=list),
    bad=dict(size=int, mtime_ns=int, reason=str),
    approximate=dict(file=str, shards=list, rows=int, made_for=int),
)
TIMES = ('start', 'end', 'video')
FEATURES = ('vector', 'tokens', 'weights', 'mask')
POOLED = 'pooled'
HALF = ('vector', 'tokens', POOLED)  # stored in 16 bit: a cosine changes by less than 1e-4


class VideoIndexError(ValueError):
    """A video index that is absent, damaged, in use, or of another model."""


@dataclass(frozen=True)
class VideoStamp:
    """A video file as it was indexed: path below the root, bytes, time of change."""

    path: str
    size: int
    mtime_ns: int


class Shard:
    """One file of segments, mapped into memory: what is not looked at is not read.

    Args:
        path: the safetensors file.
        rows: segments it must have.
        dropped: numbers of its videos that no longer count.

    Raises:
        VideoIndexError: if the file is absent, damaged, or of another length.
    """

    def __init__(self, path: Path, rows: int, dropped: list[int]) -> None:
        self.path, self.rows, self.dropped = path, rows, dropped
        try:
            open(path, 'rb').close()  # safe_open says of any file it may not read that it is absent
            with safe_open(path, framework='pt') as file:
                header = file.metadata() or {}
                self.tensors = {name: file.get_tensor(name) for name in file.keys()}
            self.videos = [VideoStamp(*entry) for entry in json.loads(header['videos'])]
            whole = all(len(self.tensors[name]) == rows for name in {*TIMES, *self.tensors})
            whole &= not rows or 0 <= int(self.tensors['video'].min())
            whole &= not rows or int(self.tensors['video'].max()) < len(self.videos)
        except (OSError, RuntimeError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise VideoIndexError(
                f'{path}: this part of the index cannot be read: {error}'
            ) from error
        if not whole or header.get('format') != FORMAT:
            raise VideoIndexError(f'{path}: this part of the index is not the one that was written')

    @property
    def features(self) -> dict[str, Tensor]:
        """Feature dict of all rows, 16 bit where stored so."""
        return {name: self.tensors[name] for name in FEATURES if name in self.tensors}

    @property
    def vectors(self) -> Tensor:
        """(rows, E), one unit vector a segment, for the first stage."""
        return self.tensors[POOLED if POOLED in self.tensors else 'vector']

    @cached_property
    def alive(self) -> Tensor:
        """(rows,) bool, false for the segments of dropped videos."""
        if not self.dropped:
            return torch.ones(self.rows, dtype=torch.bool)
        return ~torch.isin(self.tensors['video'], torch.tensor(self.dropped, dtype=torch.int32))

    def drop(self, numbers: list[int]) -> None:
        """Let further videos count no more."""
        self.dropped = sorted({*self.dropped, *numbers})
        self.__dict__.pop('alive', None)

    def kept(self) -> list[tuple[int, VideoStamp]]:
        """Number and stamp of the videos that count."""
        gone = set(self.dropped)
        return [(n, stamp) for n, stamp in enumerate(self.videos) if n not in gone]


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


def write_shard(path: Path, tensors: Mapping[str, Tensor], videos: list[VideoStamp]) -> None:
    """Write features, ``start``, ``end`` and ``video`` of n segments; ``video`` is a number in
    ``videos``.

    Raises:
        OSError: if it cannot be written.
    """
    table = [[stamp.path, stamp.size, stamp.mtime_ns] for stamp in videos]
    stored = {
        name: (tensor.half() if name in HALF else tensor).cpu().contiguous()
        for name, tensor in tensors.items()
    }
    content = save(stored, dict(format=FORMAT, videos=json.dumps(table)))
    with replacing(path) as unfinished:  # save_file has a temporary file of its own, which may stay
        unfinished.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; the file takes its place once it is whole and on the disk."""
    unfinished = path.with_name(path.name + PART)
    try:
        yield unfinished
        with open(unfinished, 'rb+') as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # no space, for one
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an index.

    Raises:
        FileNotFoundError: if the folder holds no index.
        VideoIndexError: if the manifest is damaged or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f'VideoIndex: no index in {folder}. Make one with `mmstadapter index VIDEO_DIR '
            f'--index {folder}`.'
        )
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
        found = manifest.get('format')
    except (ValueError, AttributeError) as error:
        raise VideoIndexError(
            f'VideoIndex: {path} is damaged ({error}). Remove the folder and index again.'
        ) from error
    if found != FORMAT:
        raise VideoIndexError(
            f'VideoIndex: {path} is of format {found!r}, this version reads {FORMAT!r}. Index '
            'again into another folder.'
        )
    wrong = _wrong(manifest)
    if wrong:
        raise VideoIndexError(
            f'VideoIndex: {path} is damaged, it lacks or has otherwise: {", ".join(wrong)}. Remove '
            'the folder and index again.'
        )
    return manifest


def _wrong(manifest: Mapping[str, Any]) -> list[str]:
    """The entries that are absent, or not as this module writes them."""
    wrong = [name for name, kind in ENTRIES.items() if not isinstance(manifest.get(name, 0j), kind)]
    for name, kinds in PARTS.items() if not wrong else ():
        value = manifest[name]
        inner = value if name == 'shards' else list(value.values()) if name == 'bad' else [value]
        for part in inner if value is not None else ():
            whole = isinstance(part, dict) and all(
                isinstance(part.get(key), kind) for key, kind in kinds.items()
            )
            if not whole or Path(part.get('file', '')).name != part.get('file', ''):
                wrong.append(name)
    return wrong


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Put a manifest in the place of the present one, in one step."""
    with replacing(folder / MANIFEST) as unfinished:
        unfinished.write_text(json.dumps(manifest, indent=1) + '\n', encoding='utf-8')


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only process that writes this index; the lock ends with the process, however.

    Raises:
        VideoIndexError: if another process is writing it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, 'a+', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise VideoIndexError(
                f'VideoIndex: {file.read().strip() or "another process"} is writing {folder}. '
                'Wait for it, or choose another folder with --index; searching goes on meanwhile.'
            ) from None
        file.truncate(0)
        file.write(f'process {os.getpid()} on {os.uname().nodename}')
        file.flush()
        yield
