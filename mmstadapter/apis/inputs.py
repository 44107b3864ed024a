"""What stands for a video: a file, frames in memory, an open file, an iterator of frames."""

import logging
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log
from torch import Tensor

from ..datasets.files import in_numbers, sorted_out
from ..datasets.readers import open_content

FRAME = 'uint8 RGB (H, W, 3), values from 0 to 255'
HINT = 'Give frames as they were decoded, neither scaled nor normalised'


class HeldFrames:
    """Frames in memory, with the interface of a video's reader.

    Args:
        frames: (L, H, W, 3) uint8, or a list of L such frames or PIL images of one size.
        fps: frames a second, 0 if unknown.
        who: what asks, for messages.

    Raises:
        ValueError: for no frames, or others than these.
    """

    def __init__(self, frames: Any, fps: float = 0.0, who: str = 'ClipTransform') -> None:
        if isinstance(frames, np.ndarray | Tensor):
            array = _array(frames)
            _check(array, 4, who)
            self.frames = list(array)
        else:
            self.frames = [frame_of(frame, who) for frame in frames]
            _check_sizes(self.frames, who)
        self.fps = fps

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by their numbers, each its own array: later steps may work in place."""
        return [self.frames[int(index)].copy() for index in indices]


def frame_of(frame: Any, who: str) -> np.ndarray:
    """One frame (H, W, 3) uint8, of an array, a tensor or a PIL image; or ValueError."""
    if _is_picture(frame):
        return np.asarray(frame.convert('RGB'))
    if not isinstance(frame, np.ndarray | Tensor):
        raise ValueError(f'{who}: a frame must be {FRAME}, got {type(frame).__name__}.')
    frame = _array(frame)
    _check(frame, 3, who)
    return frame


class Source(NamedTuple):
    """A video to be read: its name, and a path, the bytes of a file, or its frames."""

    name: str
    content: str | bytes | HeldFrames

    def opened(self) -> Any:
        """Its reader; of a path None, which pipelines open by themselves."""
        if isinstance(self.content, bytes):
            return open_content(self.content, self.name)
        return None if isinstance(self.content, str) else self.content


def sources(given: Any, fps: float = 0.0, who: str = 'Predictor') -> Iterator[Source]:
    """What is given as one video or several, in order; iterators of videos are not read ahead.

    Args:
        given: a path, an array or tensor (T, H, W, 3), a list or iterator of frames, a file
            opened in binary mode or its bytes; or a list or iterator of such.
        fps: frames a second of frames in memory.
        who: what asks, for messages.

    Raises:
        ValueError: for anything else, for no video, and for no frames.
    """
    if isinstance(given, Iterator) and not hasattr(given, 'read'):
        first = list(_first(given, who))
        given = chain(first, given)
        videos: Iterable[Any] = [list(given)] if _is_frame(first[0]) else given
    elif _is_one(given, who):
        videos = [given]
    else:
        videos = list(given)
        if not videos:
            raise ValueError(f'{who}: no video is given, the list is empty.')
    made = (x for number, video in enumerate(videos) for x in _sources(video, number, fps, who))
    return iter(list(made)) if isinstance(videos, list) else made


def _first(given: Iterator[Any], who: str) -> Iterator[Any]:
    for item in given:
        yield item
        return
    raise ValueError(f'{who}: no video and no frame is given, the iterator is empty.')


def _is_one(given: Any, who: str) -> bool:
    """Whether it is one video, rather than several."""
    if isinstance(given, str | Path | bytes | np.ndarray | Tensor) or hasattr(given, 'read'):
        return True
    if not isinstance(given, Iterable):
        raise ValueError(
            f'{who}: a video is a file, frames {FRAME}, an array of such (T, H, W, 3) or a file '
            f'opened in binary mode, got {type(given).__name__}.'
            + (' One image is no video; [image] is.' if _is_picture(given) else '')
        )
    return isinstance(given, list | tuple) and bool(given) and _is_frame(given[0])


def _sources(video: Any, number: int, fps: float, who: str) -> list[Source]:
    if isinstance(video, str | Path):
        return [Source(path, path) for path in expand(video, who)]
    if isinstance(video, bytes):
        return [Source(f'video {number}', video)]
    if hasattr(video, 'read'):
        return [Source(_name(video, number), _content(video, who))]
    if not isinstance(video, np.ndarray | Tensor | Iterable):
        _is_one(video, who)  # says what a video is
    return [Source(f'video {number}', HeldFrames(video, fps, who))]


def expand(video: str | Path, who: str) -> list[str]:
    """A path, or if it is a folder the videos in it; what else is in it is logged.

    Raises:
        ValueError: if a folder holds none.
    """
    if not Path(video).is_dir():
        return [str(Path(video))]
    below, others = sorted_out(Path(video))
    left = f'left out: {in_numbers(others.values())}' if others else ''
    if not below:
        raise ValueError(f'{who}: no videos in the folder {video}. {left}')
    if others:
        print_log(f'{video}: {left}', 'current', logging.WARNING)
    return list(map(str, below))


def _name(file: Any, number: int) -> str:
    name = getattr(file, 'name', None)
    return name if isinstance(name, str) else f'video {number}'


def _content(file: Any, who: str) -> bytes:
    content = file.read()
    if not isinstance(content, bytes):
        raise ValueError(f"{who}: a file must be opened in binary mode, open(path, 'rb').")
    return content


def _is_frame(item: Any) -> bool:
    return _is_picture(item) or (isinstance(item, np.ndarray | Tensor) and item.ndim < 4)


def _is_picture(item: Any) -> bool:
    """Whether it is a PIL image; who has one has imported PIL."""
    pil = sys.modules.get('PIL.Image')
    return pil is not None and isinstance(item, pil.Image)


def _array(frames: np.ndarray | Tensor) -> np.ndarray:
    return frames.detach().cpu().numpy() if isinstance(frames, Tensor) else frames


def _check(frames: np.ndarray, axes: int, who: str) -> None:
    shape, dtype = frames.shape, frames.dtype
    if len(shape) == axes and shape[-1] == 3 and 0 not in shape and dtype == np.uint8:
        return
    what = 'frames must be uint8 RGB (L, H, W, 3)' if axes == 4 else f'a frame must be {FRAME}'
    is_number = frames.size and dtype.kind in 'iuf'
    extent = f', values from {frames.min():g} to {frames.max():g}' if is_number else ''
    hint = HINT
    if 3 in shape[:2] and shape[-1] != 3:
        hint += '; .permute(0, 2, 3, 1) brings (L, 3, H, W) into order'
    raise ValueError(f'{who}: {what}, got {dtype} {tuple(shape)}{extent}. {hint}.')


def _check_sizes(frames: list[np.ndarray], who: str) -> None:
    if not frames:
        raise ValueError(f'{who}: a video needs a frame at least, the list is empty.')
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise ValueError(
            f'{who}: the frames of a video must have one size, got {sorted(s[:2] for s in sizes)}.'
        )
