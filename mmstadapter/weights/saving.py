"""Write safetensors tensor by tensor, so that files larger than the memory can be written."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {
    torch.float64: 'F64',
    torch.float32: 'F32',
    torch.float16: 'F16',
    torch.bfloat16: 'BF16',
    torch.float8_e4m3fn: 'F8_E4M3',
    torch.float8_e5m2: 'F8_E5M2',
    torch.int64: 'I64',
    torch.int32: 'I32',
    torch.int16: 'I16',
    torch.int8: 'I8',
    torch.uint8: 'U8',
    torch.bool: 'BOOL',
}
ALIGNMENT = 8  # bytes


def save_lazily(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file of which one tensor at a time is in memory.

    Every tensor is asked for twice: for its type and shape, which stand at the beginning of the
    file (https://github.com/huggingface/safetensors#format), and for its values. Those of
    `LazyTensors` and `MappedTensors` are made and let go each time.

    Args:
        tensors: what to write; may share memory.
        path: the file; written whole or not at all, see `written_whole`.
        metadata: texts for its header.

    Raises:
        ValueError: for a type that safetensors has no name for.
    """
    places = _places(tensors)
    header = dict(__metadata__=dict(metadata)) if metadata else {}
    text = json.dumps(header | places, ensure_ascii=False, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % ALIGNMENT)
    with written_whole(path) as part, open(part, 'wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        for name in places:
            values = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(values.view(torch.uint8).numpy().data)


def _places(tensors: Mapping[str, Tensor]) -> dict[str, dict]:
    """Type, shape and bytes from where to where of each tensor, large types first: aligned."""
    found: dict[str, tuple[torch.dtype, list[int], int]] = {}
    for name in tensors:
        tensor = tensors[name]
        if tensor.dtype not in DTYPES:
            raise ValueError(
                f'save_lazily: safetensors has no type for {name!r}, {tensor.dtype}. '
                'Write a .pth file instead.'
            )
        found[name] = tensor.dtype, list(tensor.shape), tensor.nbytes
    end = 0
    places = {}
    for name in sorted(found, key=lambda name: (-found[name][0].itemsize, name)):
        dtype, shape, size = found[name]
        places[name] = dict(dtype=DTYPES[dtype], shape=shape, data_offsets=[end, end + size])
        end += size
    return places


@contextmanager
def written_whole(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """``with written_whole(path) as part``: write to ``part``, which becomes ``path`` at the end.

    If the writing fails or the process is killed, ``path`` is as it was before. What failed
    leaves nothing beside it; of a killed process a ``<name>.<32 digits>.part`` may stay. A link
    stays a link, to the new content.

    Args:
        path: the file.
        size: bytes to come, where known, for the message.

    Raises:
        OSError: if the disk is full, with the room that is needed.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.{uuid.uuid4().hex}.part')
    try:
        yield part
        flush(part)
        os.replace(part, path)
        flush(path.parent)
    except Exception as error:
        if _is_full(error):
            raise _no_room(path, part, size, error) from error
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(
    folder: Path, put: Callable[[Path, Path], None] = os.replace
) -> Iterator[Path]:
    """As :func:`written_whole`, of a folder that is absent or empty: fill the folder ``part``.

    Of a killed process a hidden ``.<name>.<32 digits>.part`` may stay beside it.

    Args:
        folder: the place.
        put: brings ``part`` to it in the end.

    Raises:
        OSError: if there is something in the folder by then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f'.{folder.name}.{uuid.uuid4().hex}.part')
    part.mkdir()
    try:
        yield part
        for file in part.iterdir():
            flush(file)
        put(part, folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a power cut cannot empty it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # cannot be asked for
            raise
    finally:
        os.close(handle)


FULL = {errno.ENOSPC: 'no room', errno.EDQUOT: 'over the quota', errno.EFBIG: 'too large'}


def _is_full(error: BaseException) -> bool:
    """Whether writing failed for want of room; some writers say so in their text alone."""
    number = getattr(error, 'errno', None)
    return number in FULL or any(f'os error {code}' in str(error) for code in FULL)


def _no_room(path: Path, part: Path, size: int | None, error: Exception) -> OSError:
    written = part.stat().st_size if part.exists() else 0
    part.unlink(missing_ok=True)
    need = f'{size:,} bytes are' if size is not None else f'more than {written:,} bytes are'
    free = shutil.disk_usage(path.parent).free
    kept = 'the file of that name is kept as it was' if path.exists() else 'nothing is left of it'
    return OSError(
        getattr(error, 'errno', None) or errno.ENOSPC,
        f'{path} could not be written ({error}): {need} needed and {free:,} are free in '
        f'{path.parent}; {kept}. Make room there, or write elsewhere',
    )
