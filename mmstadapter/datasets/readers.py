"""Readers that give exactly the asked frames of a video, or say why they cannot."""

import io
import re
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from mmengine.fileio import get

from .packets import VideoFacts, VideoReadError, examine, opened, packets_of, video_stream

READERS = ('pyav', 'auto', 'decord')


def open_video(
    path: str,
    reader: str = 'pyav',
    num_threads: int = 1,
    backend_args: dict | None = None,
) -> 'PyAVReader | DecordReader':
    """Open a video.

    Args:
        path: the file, or its address for ``backend_args``.
        reader: ``'pyav'`` decodes any file that FFmpeg knows and refuses damaged ones.
            ``'auto'`` takes decord where the file's packets show that it is exact, PyAV
            elsewhere. ``'decord'`` takes decord and refuses where it is not exact. decord 0.6.0
            conceals most damage inside a file, and is no faster (benchmarks/decode_*.md).
        num_threads: decoding threads of this video; loaders have processes for speed.
        backend_args: for files that are not local, as for ``mmengine.fileio.get``.

    Raises:
        VideoReadError: if it cannot be decoded.
    """
    if reader not in READERS:
        raise ValueError(f'open_video: reader must be one of {READERS}, got {reader!r}.')
    source = get(path, backend_args) if backend_args else path
    facts = examine(source, path)
    pyav = PyAVReader(source, path, facts, num_threads)
    if reader == 'decord' and facts.not_for_decord:
        reason = f'decord may give other frames than asked for ({facts.not_for_decord})'
        raise VideoReadError(path, f"{reason}; set reader='pyav'")
    if reader == 'pyav' or facts.not_for_decord:
        return pyav
    return DecordReader(source, path, facts, num_threads, pyav if reader == 'auto' else None)


class PyAVReader:
    """Decode with FFmpeg through PyAV; damage that FFmpeg notices is an error.

    Where the packets tell the frames (H.264, VP9, MPEG-4 in mp4, mov, mkv, webm), decoding
    starts at the nearest safe key frame and each frame is known by its time. Elsewhere frames
    are counted by decoding once, and taken in order by decoding again. Only the asked frames
    are kept. A rotation noted in the file is applied, as players and decord do.
    """

    def __init__(self, source, path: str, facts: VideoFacts, num_threads: int = 1) -> None:
        self.source, self.path, self.facts = source, path, facts
        self.num_threads = num_threads
        self._length = -1 if facts.times is None else len(facts.times)

    def __len__(self) -> int:
        if self._length < 0:
            with opened(self.source, self.path) as container:
                self._length = sum(1 for _ in self._decode(container))
            if not self._length:
                raise VideoReadError(self.path, 'has no frame that can be decoded')
        return self._length

    @property
    def fps(self) -> float:
        """Average frames per second, 0.0 if unknown."""
        return self.facts.fps

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index in order of presentation, each its own (H, W, 3) uint8 RGB array."""
        indices = [int(index) for index in indices]
        _check_range(indices, len(self), self.path)
        wanted = sorted(set(indices))
        if self.facts.times is None:
            return one_array_each(indices, self._by_order(wanted))
        found = self._by_time(wanted, seek=True) or self._by_time(wanted, seek=False)
        if found is None:
            raise VideoReadError(self.path, 'decodes to other frames than its packets state')
        return one_array_each(indices, found)

    def _by_time(self, wanted: list[int], seek: bool) -> dict[int, np.ndarray] | None:
        """None if a frame does not turn up at its time."""
        times, starts = self.facts.times, self.facts.starts
        assert times is not None
        found: dict[int, np.ndarray] = {}
        with opened(self.source, self.path) as container:
            stream = video_stream(container, self.path)
            frames, reached = self._decode(container), times[0] - 1
            for index in wanted:
                before = np.searchsorted(starts, times[index], side='right') - 1
                if seek and before > 0 and starts[before] > reached:
                    container.seek(int(starts[before]), stream=stream)
                    frames = self._decode(container)
                for frame in frames:
                    reached = frame.pts
                    if reached is None or reached >= times[index]:
                        break
                if reached != times[index]:
                    return None
                found[index] = _rgb(frame)
        return found

    def _by_order(self, wanted: list[int]) -> dict[int, np.ndarray]:
        found, missing, index = {}, set(wanted), -1
        with opened(self.source, self.path) as container:
            for index, frame in enumerate(self._decode(container)):
                if index in missing:
                    found[index] = _rgb(frame)
                    missing.remove(index)
                if not missing:
                    return found
        reason = f'gave {len(self)} frames at first and {index + 1} when decoded again'
        raise VideoReadError(self.path, reason)

    def _decode(self, container) -> Iterator[av.VideoFrame]:
        stream = video_stream(container, self.path)
        if not stream.codec_context.is_open:
            stream.thread_type = 'AUTO'
            stream.codec_context.thread_count = self.num_threads
            stream.codec_context.options = {'err_detect': 'explode'}  # never conceal damage
        for packet in packets_of(container, self.path, stream):
            for frame in packet.decode():
                if frame.is_corrupt:
                    when = 'a frame' if frame.time is None else f'the frame at {frame.time:.2f} s'
                    raise VideoReadError(self.path, f'is damaged: {when}')
                yield frame


class DecordReader:
    """Decode with decord, for files on which :func:`examine` found it exact.

    Args:
        substitute: reader to use where decord fails (it cannot copy out frames of widths
            8, 16, 24, 48 and 72, says so, and knows nothing of some codecs); None: an error.
    """

    def __init__(
        self,
        source,
        path: str,
        facts: VideoFacts,
        num_threads: int = 1,
        substitute: PyAVReader | None = None,
    ) -> None:
        assert facts.times is not None, 'examine() allows decord where times are known'
        self.source, self.path, self.facts = source, path, facts
        self.num_threads, self.substitute = num_threads, substitute

    def __len__(self) -> int:
        assert self.facts.times is not None
        return len(self.facts.times)

    @property
    def fps(self) -> float:
        """Average frames per second, 0.0 if unknown."""
        return self.facts.fps

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index in order of presentation, each its own (H, W, 3) uint8 RGB array."""
        indices = [int(index) for index in indices]
        _check_range(indices, len(self), self.path)
        try:
            return one_array_each(indices, self._read(sorted(set(indices))))
        except VideoReadError:
            if self.substitute is None:
                raise
            return self.substitute.read(indices)

    def _read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        import decord

        file = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        try:
            video = decord.VideoReader(file, num_threads=self.num_threads)
            if len(video) != len(self):
                reason = f'decord counts {len(video)} frames, its packets {len(self)}'
                raise VideoReadError(self.path, reason)
            frames = list(video.get_batch(wanted).asnumpy())
        except (decord.DECORDError, RuntimeError) as error:
            if isinstance(error, VideoReadError):
                raise
            reason = re.sub(r'^\[\S+ \S+:\d+: ', '', str(error).strip().splitlines()[0])
            raise VideoReadError(self.path, f'decord: {reason}') from error
        if frames[0].shape[:2] not in (self.facts.size, self.facts.size[::-1]):
            reason = f'decord gives {frames[0].shape[:2]} pixels instead of {self.facts.size}'
            raise VideoReadError(self.path, reason)
        return dict(zip(wanted, frames, strict=True))


def _check_range(indices: list[int], length: int, path: str) -> None:
    if not indices or min(indices) < 0 or max(indices) >= length:
        asked = f'{min(indices)} to {max(indices)}' if indices else 'none'
        raise VideoReadError(path, f'has frames 0 to {length - 1}, asked for {asked}')


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    # PyAV 19's own conversion keeps a pool of threads, and a process forked later waits for it
    # forever; one thread needs no pool.
    image = VideoReformatter().reformat(frame, format='rgb24', threads=1).to_ndarray()
    turns = frame.rotation // 90 % 4  # quarter turns to the left, noted by cameras held upright
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def one_array_each(indices: list[int], found: dict[int, np.ndarray]) -> list[np.ndarray]:
    """Repeated frames get arrays of their own: later steps may work in place."""
    frames, taken = [], set()
    for index in indices:
        frames.append(found[index].copy() if index in taken else found[index])
        taken.add(index)
    return frames
