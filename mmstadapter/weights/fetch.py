"""Where a pretrained file lies: a path, or a known name fetched into a cache once."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import IO, NamedTuple
from urllib.request import urlopen

from filelock import FileLock
from mmengine.logging import print_log

from ..progress import Progress
from .hub import PREFIX, from_hub, in_folder, link_to
from .saving import written_whole

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without an answer


class Known(NamedTuple):
    """A published file: where it is and what it must be."""

    url: str
    sha256: str


def _openai(sha256: str, file: str) -> Known:
    return Known(f'https://openaipublic.azureedge.net/clip/models/{sha256}/{file}', sha256)


KNOWN: dict[str, Known] = {
    'openai/ViT-B-32': _openai(
        '40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af', 'ViT-B-32.pt'
    ),
    'openai/ViT-B-16': _openai(
        '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f', 'ViT-B-16.pt'
    ),
    'openai/ViT-L-14': _openai(
        'b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836', 'ViT-L-14.pt'
    ),
    'openai/ViT-L-14-336': _openai(
        '3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02', 'ViT-L-14-336px.pt'
    ),
}


def cache_dir() -> Path:
    """``$MMSTADAPTER_CACHE``, else ``mmstadapter`` in the user's cache folder."""
    if own := os.environ.get('MMSTADAPTER_CACHE'):
        return Path(own).expanduser()
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'mmstadapter'


def locate(checkpoint: str | Path) -> Path:
    """The file of a known name or of the hub, fetched on first use, or a path as it is.

    Args:
        checkpoint: a name in `KNOWN`, such as ``'openai/ViT-B-16'``; a repository of Hugging
            Face, such as ``'hf:openai/clip-vit-base-patch16'``, see `from_hub`; the path of a
            file, or of a folder that ``save_pretrained`` wrote.

    Raises:
        FileNotFoundError: if it is neither a known name nor an existing file.
        RuntimeError: if a file cannot be fetched or is not the published one.
    """
    if str(checkpoint) in KNOWN:
        return _fetch(str(checkpoint), KNOWN[str(checkpoint)])
    if str(checkpoint).startswith(PREFIX):
        return from_hub(str(checkpoint))
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        return in_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'locate: {str(checkpoint)!r} is neither a file nor a known name. Give the path of a '
            f'pretrained file or one of {", ".join(KNOWN)}, or hf:OWNER/NAME.'
        )
    return link_to(path)


def is_source(checkpoint: str | Path) -> bool:
    """Whether a pretrained file can be read from this: a name, or a path where something lies."""
    name = str(checkpoint)
    return name in KNOWN or name.startswith(PREFIX) or Path(checkpoint).expanduser().exists()


def known_name(path: str | Path) -> str | None:
    """The name of the published file that this one is, byte for byte, or None.

    Only a file that is called as the published one is read for it.
    """
    path = Path(path)
    for name, known in KNOWN.items():
        if path.name == known.url.rsplit('/', 1)[-1] and path.is_file():
            state = path.stat()
            if _sha256(path, state.st_size, state.st_mtime_ns) == known.sha256:
                return name
    return None


def _fetch(name: str, known: Known) -> Path:
    """The cached file, whole and checked."""
    path = cache_dir() / known.url.rsplit('/', 1)[-1]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(path):
                if not path.exists():  # else another process brought it meanwhile
                    _download(known, path)
        except (OSError, HTTPException, _WrongDigest) as error:
            raise RuntimeError(
                f'{name}: fetching {known.url} failed: {error}. Put that file at {path} yourself '
                f'(sha256 {known.sha256}), or set MMSTADAPTER_CACHE to a folder that holds it.'
            ) from error
    stat = path.stat()
    digest = _sha256(path, stat.st_size, stat.st_mtime_ns)
    if digest != known.sha256:
        raise RuntimeError(
            f'{name}: {path} is not the published file: its sha256 is {digest}, expected '
            f'{known.sha256}. Remove it to have it fetched again from {known.url}.'
        )
    return path


class _WrongDigest(Exception):
    """What arrived is not the published file."""


def _download(known: Known, path: Path) -> None:
    """Write beside the target, check, and only then give it its name."""
    digest = hashlib.sha256()
    with written_whole(path) as part:
        with urlopen(known.url, timeout=TIMEOUT) as source, open(part, 'wb') as target:
            size = int(source.headers.get('Content-Length') or 0)
            print_log(f'fetching {known.url} into {path.parent} ({size >> 20} MiB)', 'current')
            for chunk in _with_progress(source, size, path.name):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != known.sha256:
            raise _WrongDigest(
                f'{part.stat().st_size} of {size} bytes arrived, with sha256 {digest.hexdigest()}'
            )


def _with_progress(source: IO[bytes], size: int, name: str) -> Iterator[bytes]:
    """The stream in chunks of 1 MiB, telling how far it is."""
    with Progress(f'MiB of {name}', size // CHUNK) as bar:
        while chunk := source.read(CHUNK):
            yield chunk
            bar.done()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time, where the file system can lock; harmless where it cannot."""
    lock = FileLock(f'{path}.lock')
    with suppress(OSError):  # some network folders refuse; the rename stays atomic
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@lru_cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Digest of a file; size and time are there so that a changed file is read again."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
