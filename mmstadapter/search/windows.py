"""Cut a video into segments and run the model's own test pipeline on each of them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import av
import numpy as np
from torch import Tensor

from ..datasets.opening import VideoReadError, opened
from ..datasets.readers import PyAVReader
from ..printing import shown

Cut = tuple[int, int, float, float]  # first frame, number of frames, from, to in seconds


class Segment(NamedTuple):
    """A part of a video, ready for the model: from and to in seconds, (3, T, H, W) frames."""

    start: float
    end: float
    clip: Tensor


class Window:
    """Some consecutive frames of a video, to the pipeline's steps a whole video.

    Args:
        reader: of the video.
        first: its first frame.
        count: its number of frames.
    """

    def __init__(self, reader, first: int, count: int) -> None:
        self.reader, self.first, self.count = reader, first, count

    def __len__(self) -> int:
        return self.count

    @property
    def fps(self) -> float:
        """Average frames per second of the video, 0.0 if unknown."""
        return self.reader.fps

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index within the window, each an (H, W, 3) uint8 RGB array."""
        inside = [int(index) for index in indices]
        if min(inside) < 0 or max(inside) >= self.count:
            raise VideoReadError(
                self.reader.path,
                f'was asked for frames {min(inside)} to {max(inside)} of a segment of '
                f'{self.count}; the sampling step must go by total_frames',
            )
        return self.reader.read([self.first + index for index in inside])


class OnePassReader(PyAVReader):
    """Reads ever later frames without beginning anew, where frames can only be counted.

    :class:`PyAVReader` decodes such a file (HEVC, avi, ts ...) from its start for each reading,
    which for the windows of a long video would take the square of its length.
    """

    def __init__(self, reader: PyAVReader) -> None:
        super().__init__(reader.source, reader.path, reader.facts, reader.num_threads)
        self.times = reader.times
        self._open = ExitStack()
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._last: tuple[int, np.ndarray | None] = (len(reader), None)  # as if all were read

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def _by_order(self, wanted: list[int]) -> dict[int, np.ndarray]:
        found = {}
        for index in wanted:
            if index < self._last[0] or self._last[1] is None:
                self._restart()
            while self._last[0] < index:
                self._step(keep=self._last[0] + 1 == index)
            assert self._last[1] is not None
            found[index] = self._last[1]
        return found

    def _restart(self) -> None:
        self._open.close()
        container = self._open.enter_context(opened(self.source, self.path))
        self._frames, self._last = self._decode(container), (-1, None)

    def _step(self, keep: bool) -> None:
        number, self._last = self._last[0] + 1, (len(self), None)  # until the frame is there
        frame = next(self._frames, None)
        if frame is None:
            reason = f'gave {len(self)} frames at first and {number} when decoded again'
            raise VideoReadError(self.path, reason)
        self._last = (number, self._rgb(frame) if keep else None)


def cut(times: np.ndarray, end: float, seconds: float) -> list[Cut]:
    """Equal segments of a video, as near to ``seconds`` long as a whole number of them gets.

    Args:
        times: when each frame is shown, ascending from 0, seconds.
        end: when the last one has been shown.
        seconds: length wanted; 0 for one segment.

    Returns:
        First frame, number of frames, from and to in seconds of each segment that has frames;
        never more segments than frames.
    """
    count = max(1, round(min(end / seconds, len(times)))) if seconds else 1
    bounds = np.linspace(0, end, count + 1)
    firsts = np.searchsorted(times, bounds[:-1] - 1e-9)
    lasts = np.append(firsts[1:], len(times))
    return [
        (int(first), int(last - first), float(start), float(stop))
        for first, last, start, stop in zip(firsts, lasts, bounds[:-1], bounds[1:], strict=True)
        if last > first
    ]


def frame_times(reader) -> tuple[np.ndarray, float]:
    """When each frame of a video is shown, from 0, and when the last ends; seconds."""
    return reader.times[:-1], float(reader.times[-1])


def between(times: np.ndarray, end: float, start: float, stop: float | None, path: str) -> Cut:
    """The part of a video between two times, or from one to the end, as one segment.

    Raises:
        ValueError: if the video ends before.
    """
    if start >= end:
        raise ValueError(
            f'{shown(path)} is {end:.2f} s long, so nothing of it can be taken from {start:g} s on.'
        )
    stop = end if stop is None else min(stop, end)
    first = max(0, int(np.searchsorted(times, start, 'right')) - 1)  # what is shown then
    last = max(first + 1, int(np.searchsorted(times, stop - 1e-9)))
    return first, last - first, start, stop


def segments(
    path: str, steps: list[Callable[[dict], dict | None]], seconds: float
) -> Iterator[Segment]:
    """The segments of a video in order, decoded and transformed by a test pipeline.

    Args:
        path: the video file.
        steps: the pipeline's transforms; one, :class:`VideoInit` usually, opens the video and
            the following ones take its length from ``total_frames``.
        seconds: length of a segment; 0 for the whole video as one.

    Raises:
        VideoReadError: if the video cannot be decoded.
        ValueError: if the pipeline opens no video, or gives several clips a video.
    """
    return parts(path, steps, lambda times, end: cut(times, end, seconds))


def parts(
    path: str,
    steps: list[Callable[[dict], dict | None]],
    choose: Callable[[np.ndarray, float], list[Cut]],
) -> Iterator[Segment]:
    """Parts of a video, which ``choose`` names from its frames' times and its end."""
    results: dict[str, Any] | None = dict(
        filename=path, label=-1, start_index=0, modality='RGB', video_id=path, captions=[]
    )
    rest = deque(steps)
    while rest and results is not None and results.get('video_reader') is None:
        results = rest.popleft()(results)
    if results is None or results.get('video_reader') is None:
        raise ValueError(
            'The test pipeline does not open a video file, so long videos cannot be cut. Begin it '
            "with dict(type='mmstadapter.VideoInit') and use mmstadapter.VideoDecode."
        )
    reader = results['video_reader']
    with ExitStack() as stack:
        if isinstance(reader, PyAVReader) and reader.facts.times is None:
            reader = OnePassReader(reader)
            stack.callback(reader.close)
        for first, count, start, end in choose(*frame_times(reader)):
            part = results | dict(video_reader=Window(reader, first, count), total_frames=count)
            for step in rest:
                part = step(part)
            yield Segment(start, end, _only_clip(part['inputs'], path))


def _only_clip(inputs: Tensor, path: str) -> Tensor:
    """(1, 3, T, H, W) -> (3, T, H, W)."""
    if inputs.ndim != 5 or len(inputs) != 1:
        raise ValueError(
            f'The test pipeline must give one clip (1, 3, T, H, W) a video, it gives '
            f'{tuple(inputs.shape)} for {path}. Use one view: num_views=1, num_crops=1.'
        )
    return inputs[0]
