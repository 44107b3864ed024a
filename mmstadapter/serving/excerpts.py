"""What of an index's videos may be shown, and moving pictures of it."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from ..datasets.packets import VideoReadError
from ..datasets.readers import open_video
from ..search.choosing import Hit
from ..search.page import changed
from ..search.storage import refuse_outside
from ..search.video_index import VideoIndex

FRAMES, HEIGHT = 12, 112  # of a preview, pixels
PLAYED, FPS, LONGEST = 360, 15, 60  # pixels of a moment, frames a second, seconds
AT_ONCE = 32  # frames in memory while a moment is written


class NotShownError(Exception):
    """A moment that is not shown, with the reason as the end of a sentence."""


class Excerpts:
    """Pictures of the videos of an index; nothing outside of its root is opened.

    Args:
        index: an open one, which may come from anybody.
    """

    def __init__(self, index: VideoIndex) -> None:
        self.index, self.root = index, index.root.resolve()

    def file(self, hit: Hit) -> Path:
        """The file of a hit, all links followed.

        Raises:
            NotShownError: if the name, or what a link leads to, is not below the root, or the file
                is not the one that was indexed.
        """
        try:
            refuse_outside([hit.video])
            path = (self.root / hit.video).resolve()
        except (ValueError, OSError, RuntimeError) as error:
            raise NotShownError(f'cannot be named: {error}') from error
        if hit.video not in self.index.stamps or not path.is_relative_to(self.root):
            raise NotShownError('lies outside of the folder that was indexed')
        if reason := changed(path, self.index.stamps[hit.video]):
            raise NotShownError(reason)
        return path

    def preview(self, hit: Hit) -> bytes:
        """A few frames of a hit as a moving WebP."""
        return _as_read(preview, self.file(hit), hit.start, hit.end)

    def moment(self, hit: Hit) -> bytes:
        """A hit as MP4, without sound; a minute of it at most."""
        return _as_read(moment, self.file(hit), hit.start, hit.end)


def _as_read(make, path: Path, start: float, end: float) -> bytes:
    try:
        return make(path, start, end)
    except VideoReadError as error:
        raise NotShownError(error.reason) from error


def preview(path: Path, start: float, end: float) -> bytes:
    """Evenly spaced frames between two times as a moving WebP."""
    video = open_video(str(path))
    wanted = np.linspace(start, end, 2 * FRAMES + 1)[1::2]
    images = [Image.fromarray(_at_height(f, HEIGHT)) for f in video.read(_shown(video, wanted))]
    data = io.BytesIO()
    step = max(80, round(1000 * min(end - start, 4) / FRAMES))  # milliseconds
    images[0].save(
        data, 'webp', save_all=True, append_images=images[1:], duration=step, loop=0, quality=60
    )
    return data.getvalue()


def moment(path: Path, start: float, end: float) -> bytes:
    """The part between two times as MP4."""
    video = open_video(str(path))
    rate = max(1, min(FPS, round(video.fps) or FPS))
    times = np.arange(start, min(end, start + LONGEST), 1 / rate)
    data = io.BytesIO()
    with av.open(data, 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=rate)
        stream.pix_fmt, stream.options = 'yuv420p', {'preset': 'veryfast', 'crf': '26'}
        for frame in _frames(video, _shown(video, times)):
            if not stream.codec_context.is_open:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())
    return data.getvalue()


def _frames(video, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Frames by number, as large as a browser shows them, a few in memory at a time."""
    for first in range(0, len(numbers), AT_ONCE):
        for frame in video.read(numbers[first : first + AT_ONCE]):
            yield _at_height(frame, min(PLAYED, frame.shape[0]))


def _shown(video, times: np.ndarray) -> np.ndarray:
    """Which frame is shown at each time."""
    starts = video.times[:-1]
    return np.clip(np.searchsorted(starts, times, 'right') - 1, 0, len(starts) - 1)


def _at_height(frame: np.ndarray, height: int) -> np.ndarray:
    """(H, W, 3) -> so high, in proportion up to 4 to 1, both sides even."""
    width = min(round(frame.shape[1] * height / frame.shape[0]), 4 * height)
    size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
