"""The containers that weights come in: told by their content, refused where they would blow up.

A file's name says nothing: a file in Hugging Face's cache is a link to a blob without a suffix.
What a file unpacks to is bounded by its own size, since torch stores weights as they are, and the
checksums that every archive has, and torch does not look at, are looked at.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..printing import shown
from .checksum import require_checksum
from .errors import DamagedFile
from .torchscript import is_torchscript, read_torchscript

FACTOR, SLACK = 8, 16 << 20  # a file may unpack to so many times its size, and so many bytes more
INDEX = '.index.json'  # how the list of a checkpoint's shards is called
HEADER = 100_000_000  # bytes that safetensors allows for its own
CHUNK = 1 << 20
ADVICE = ('weights_only', 'safe_globals', 'allowlist')  # torch's, to load a file all the same
NO_WEIGHTS = {  # how files begin that come instead of weights
    b'version https://git-lfs': 'is a pointer of Git LFS; `git lfs pull` brings the file itself',
    b'<': 'is a web page; fetch the file itself',
}


def kind_of(path: Path) -> str:
    """'safetensors', 'torchscript', 'archive' or 'pickle' (torch's), or 'index' (of shards).

    Raises:
        ValueError: if it begins as none of them.
    """
    with open(path, 'rb') as file:
        head = file.read(64)
    if head[8:9] == b'{' and int.from_bytes(head[:8], 'little') <= HEADER:
        return 'safetensors'
    if head.startswith(b'PK'):
        with naming(path):
            if not zipfile.is_zipfile(path):
                raise DamagedFile(_damaged(path, 'the list at the end of the archive is missing'))
            return 'torchscript' if is_torchscript(path) else 'archive'
    if head.startswith(b'\x80'):
        return 'pickle'
    if head.lstrip().startswith(b'{') or path.name.endswith(INDEX):
        return 'index'
    found = (words for start, words in NO_WEIGHTS.items() if head.lstrip().startswith(start))
    reason = next(found, 'it begins as neither safetensors nor a file of torch.save')
    raise DamagedFile(_damaged(path, reason if head else 'it is empty'))


def read_content(path: Path, device: Any = 'cpu', mapped: bool = False) -> Any:
    """What a file of weights holds: tensors by name, or whatever torch.save was given.

    Args:
        path: the file.
        device: where tensors go, as torch.load's ``map_location``.
        mapped: leave tensors in the file until they are touched, where its form allows.

    Raises:
        ValueError: if it is damaged, refers to code, or would unpack to more than it can hold.
        OSError: from the system.
    """
    kind = kind_of(path)
    if kind == 'safetensors':
        return read_safetensors(path, device)[0]
    packed = kind != 'pickle' and check_archive(path)
    with naming(path):
        if kind == 'torchscript':
            return read_torchscript(path)
        if mapped and kind == 'archive' and not packed and path.suffix != '.safetensors':
            return torch.load(path, map_location=device, weights_only=True, mmap=True)
        with open(path, 'rb') as file:  # of a path torch would look at the suffix
            return torch.load(file, map_location=device, weights_only=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file in whatever its reader raises: what is damaged may fail anywhere.

    Raises:
        DamagedFile: in the place of what a reader raises.
        OSError: from the system; for half an archive torch and zipfile raise nameless ones.
    """
    try:
        yield
    except (DamagedFile, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise DamagedFile(_damaged(path, reason_of(error))) from None


def read_safetensors(path: Path, device: Any = 'cpu') -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, mapped from the file on a CPU, and the texts of its header.

    Raises:
        ValueError: if it is not whole, or does not match its own checksum.
    """
    place = str(device) if isinstance(device, str | torch.device) else 'cpu'
    with naming(path):
        try:
            with safe_open(path, framework='pt', device=place) as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                texts = file.metadata() or {}
        except SafetensorError as error:
            raise DamagedFile(f'{path} is not a whole safetensors file: {error}') from None
    require_checksum(tensors, texts, path)
    return tensors, texts


def check_archive(path: Path) -> bool:
    """Whether members of an archive are compressed, which torch never does to tensors.

    Raises:
        ValueError: if it would unpack to much more than its size, or a member is not what its
            checksum says.
    """
    state = path.stat()
    with naming(path):
        return _checked(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _checked(path: Path, size: int, mtime_ns: int) -> bool:
    """Size and time are there so that a changed file is read again."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        whole = sum(info.file_size for info in members)
        if whole > FACTOR * size + SLACK:
            raise DamagedFile(
                f'{path} has {size:,} bytes and would unpack to {whole:,}: weights do not compress '
                'so, and nothing of it was unpacked. Get the file from where it comes from.'
            )
        for info in members:
            if info.CRC:  # 0 in files that were written without checksums
                _unpack(archive, info)
    return any(x.compress_type != zipfile.ZIP_STORED and '/data/' in x.filename for x in members)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Read a member to its end, where Python compares the checksum."""
    with archive.open(info) as member:
        while member.read(CHUNK):
            pass


def refuse_expanded(tensors: dict[str, Tensor], path: Path, size: int) -> None:
    """Raise if tensors stand for far more numbers than a file has: copied, they fill the memory.

    A stride of 0 makes a tensor of any size out of one number.
    """
    whole = sum(tensor.nbytes for tensor in tensors.values())
    if whole > FACTOR * size + SLACK:
        raise DamagedFile(
            f'read_tensors: {path} has {size:,} bytes and its tensors would have {whole:,}. Give '
            'a file that holds every number of its tensors.'
        )


def read_index(path: Path) -> dict[str, str]:
    """Name -> file name of the shard that holds it.

    Raises:
        ValueError: if the file is not an index of shards that lie beside it.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError):  # neither text nor JSON that anyone writes
        raise DamagedFile(_damaged(path, 'it is neither weights nor JSON')) from None
    try:
        shard_of = content['weight_map']
        if shard_of and all(Path(file).name == file for file in shard_of.values()):
            return dict(shard_of)
    except (KeyError, TypeError, AttributeError):
        pass
    raise DamagedFile(
        f'read_tensors: {path} is no index of shards. It must be JSON with a weight_map, from '
        'tensor names to names of files beside it.'
    )


def reason_of(error: Exception) -> str:
    """Why torch did not read a file, without its advice to read it unsafely."""
    text = re.sub(r'\x1b\[\d*m', '', str(error))
    name = re.search(r'(?i)unsupported (?:global: )?(?:global|class) (\S+)', text)
    if name:
        return f'it refers to {shown(name[1])}, which is no tensor; it was not loaded'
    found = re.search(r'WeightsUnpickler error:\s*(.+?)(\n|$)', text)
    first = found[1] if found else text.strip().split('\n')[0].split(' This is an internal')[0]
    if any(word in first for word in ADVICE):
        return 'it asks for something that is no tensor'
    return shown(first) or type(error).__name__


def _damaged(path: Path, reason: str) -> str:
    return (
        f'{path} is no file of plain tensors, or is damaged: {reason.rstrip(".")}. Fetch it again, '
        'or save the state_dict() of its model alone, best as .safetensors.'
    )
