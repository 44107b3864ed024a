"""Decoded frames of videos, kept on disk: later epochs decode nothing.

A file a video, safetensors: ``times`` (T + 1) as `PyAVReader.times`, ``sums`` (T,) the CRC-32 of
each stored frame, and ``frames`` (T, H, W, 3) uint8, mapped into memory, or ``jpegs``, the bytes of
all, with their ``ends`` (T + 1). Its header says of which file, by size and time of change, and
what was done to the frames. `mmstadapter cache` writes it, ``VideoInit(cache=...)`` reads it.
"""

import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..weights import save_lazily
from .opening import VideoReadError
from .readers import check_range, one_array_each, open_video
from .side4video_spatial import resize, scaled

FORMAT = 'mmstadapter clip cache 1'
BUDGET = 256 << 20  # bytes of frames decoded at a time
AGAIN = 'Run `mmstadapter cache` with this config again'


@dataclass(frozen=True)
class Storing:
    """What is done to frames before they are stored; nothing by default, bit for bit.

    Attributes:
        short_side: longest short side in pixels; larger frames are shrunk with Pillow's bicubic
            filter, smaller ones stay. None: as decoded.
        jpeg: quality, 1 to 100, colours not subsampled; None: every bit.
    """

    short_side: int | None = None
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f'cache: short_side must be pixels, got {self.short_side}.')
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise ValueError(f'cache: jpeg must be a quality from 1 to 100, got {self.jpeg}.')

    def shrunk(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 with the short side it is to have."""
        height, width = frame.shape[:2]
        if self.short_side is None or min(height, width) <= self.short_side:
            return frame
        return resize(frame, *scaled(height, width, self.short_side), 'bicubic')


def place(folder: str | Path, path: str) -> Path:
    """The file of a video's frames."""
    path = os.path.abspath(path)
    number = hashlib.sha256(os.fsencode(path)).hexdigest()[:20]
    return Path(folder) / number[:2] / f'{number}.safetensors'


def stamp(path: str) -> dict[str, str]:
    """Path, size and time of change of a file, as they stand in a header."""
    state = os.stat(path)
    name = json.dumps(os.path.abspath(path))  # in ASCII, whatever bytes it has
    return dict(path=name, size=f'{state.st_size}', mtime=f'{state.st_mtime_ns}')


def is_cached(folder: str | Path, path: str, how: Storing) -> bool:
    """Whether the frames of this very file are there, stored this way and readable."""
    try:
        header = header_of(place(folder, path), FORMAT, AGAIN)
    except (FileNotFoundError, ValueError):
        return False
    return all(header[key] == value for key, value in (stamp(path) | _told(how)).items())


def decoded(path: str, how: Storing) -> tuple[dict[str, Tensor], dict[str, str], np.ndarray]:
    """What is to be stored of a video, its header, and the errors that JPEG makes: mean, largest.

    Raises:
        VideoReadError: if a frame cannot be decoded.
    """
    header = stamp(path) | _told(how)
    video = open_video(path)
    first = how.shrunk(video.read([0])[0])
    step = max(1, BUDGET // first.nbytes)
    parts = (range(start, min(start + step, len(video))) for start in range(0, len(video), step))
    frames = (how.shrunk(frame) for part in parts for frame in video.read(part))
    stored, errors = _compressed(frames, how.jpeg) if how.jpeg else _exact(frames, len(video))
    stored['times'] = torch.from_numpy(video.times)
    return stored, header | dict(fps=repr(video.fps)), errors


def _exact(frames: Iterator[np.ndarray], count: int) -> tuple[dict[str, Tensor], np.ndarray]:
    """Every bit of so many frames."""
    sums = torch.empty(count, dtype=torch.int64)
    for index, frame in enumerate(frames):
        if index == 0:
            whole = torch.empty((count, *frame.shape), dtype=torch.uint8)
        whole[index] = torch.from_numpy(frame)
        sums[index] = _sum(frame)
    return dict(frames=whole, sums=sums), np.zeros(2)


def _compressed(frames: Iterator[np.ndarray], quality: int) -> tuple[dict[str, Tensor], np.ndarray]:
    """JPEG files one after the other, and the mean and the largest error in grey levels."""
    pictures, errors = [], []
    for frame in frames:
        pictures.append(_jpeg(frame, quality))
        errors.append(_error(frame, pictures[-1]))
    stored = dict(
        jpegs=torch.frombuffer(bytearray(b''.join(pictures)), dtype=torch.uint8),
        ends=torch.from_numpy(np.cumsum([0, *map(len, pictures)])),
        sums=torch.tensor([zlib.crc32(picture) for picture in pictures]),
    )
    means, largest = zip(*errors, strict=True)
    return stored, np.array([np.mean(means), max(largest)])


def store(folder: str | Path, path: str, how: Storing) -> tuple[int, np.ndarray]:
    """Write a video's frames, whole or not at all: bytes, and the errors of :func:`decoded`.

    Of a video that cannot be decoded the reason is stored, with which every reading then ends.
    """
    target = place(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        tensors, header, errors = decoded(path, how)
    except VideoReadError as error:
        tensors, errors = dict(times=torch.zeros(1)), np.zeros(2)
        header = stamp(path) | _told(how) | dict(wrong=error.reason)
    save_lazily(tensors, target, header)
    return target.stat().st_size, errors


class CachedVideo:
    """A video's frames from the cache, with the interface of `PyAVReader`.

    Raises:
        VideoReadError: if the video cannot be decoded, or is gone.
        ValueError: if the cache does not hold it as it is now, or is damaged, which is not the
            video's fault.
    """

    def __init__(self, folder: str | Path, path: str) -> None:
        self.path, self.file = path, place(folder, path)
        if not os.path.isfile(path):
            raise VideoReadError(path, 'no such file')
        try:
            self.header = header_of(self.file, FORMAT, AGAIN)
        except FileNotFoundError:
            raise ValueError(f'{path} is not in the cache {folder}. {AGAIN}.') from None
        if any(self.header[key] != value for key, value in stamp(path).items()):
            raise ValueError(f'{path} changed since it was put into {folder}. {AGAIN}.')
        if 'wrong' in self.header:
            raise VideoReadError(path, self.header['wrong'])
        self.fps = float(self.header['fps'])
        with safe_open(self.file, 'numpy') as file:
            self.times, self.sums = file.get_tensor('times'), file.get_tensor('sums')

    def __len__(self) -> int:
        return len(self.sums)

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index in order of presentation, each its own (H, W, 3) uint8 RGB array."""
        indices = [int(index) for index in indices]
        check_range(indices, len(self), self.path)
        with safe_open(self.file, 'numpy') as file:
            frame = self._picture if 'jpegs' in file.keys() else self._bits  # noqa: SIM118
            found = {index: frame(file, index) for index in sorted(set(indices))}
        return one_array_each(indices, found)

    def _bits(self, file: safe_open, index: int) -> np.ndarray:
        frame = file.get_slice('frames')[index : index + 1][0]
        self._refuse_other(index, frame)
        return frame

    def _picture(self, file: safe_open, index: int) -> np.ndarray:
        start, stop = file.get_slice('ends')[index : index + 2]
        content = file.get_slice('jpegs')[start:stop]
        self._refuse_other(index, content)
        return _pixels(content)

    def _refuse_other(self, index: int, content: np.ndarray) -> None:
        if _sum(content) != self.sums[index]:
            raise ValueError(
                f'{self.file}: frame {index} of {self.path} is not what was stored. Remove the '
                f'file. {AGAIN}.'
            )


def _told(how: Storing) -> dict[str, str]:
    return dict(format=FORMAT, storing=json.dumps(asdict(how)))


def header_of(file: Path, kind: str, again: str) -> dict[str, str]:
    """The header of a file of a cache.

    Args:
        file: the file.
        kind: its format.
        again: what to do where it is another's.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another kind.
    """
    try:
        with safe_open(file, 'numpy') as found:
            header = found.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f'{file} is damaged ({error}). Remove it. {again}.') from error
    if header.get('format') != kind:
        raise ValueError(f'{file} is no file of this version ({kind}). Remove it. {again}.')
    return header


def _sum(content: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(content).data)


def _jpeg(frame: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, 'JPEG', quality=quality, subsampling=0)
    return buffer.getvalue()


def _pixels(content: bytes | np.ndarray) -> np.ndarray:
    with Image.open(io.BytesIO(bytes(content))) as picture:
        return np.array(picture.convert('RGB'))


def _error(frame: np.ndarray, content: bytes) -> tuple[float, int]:
    """Mean and largest difference in grey levels."""
    difference = np.abs(_pixels(content).astype(np.int16) - frame)
    return float(difference.mean()), int(difference.max())
