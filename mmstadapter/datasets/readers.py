"""Readers that give exactly the asked frames of a video, or say why they cannot."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter
from mmengine.fileio import get

from .ffmpeg_log import errors_so_far, misses_a_picture
from .opening import VideoReadError, hearing, opened, packets_of, video_stream
from .orientation import display_matrix, orient
from .packets import VideoFacts, examine
from .timing import ASSUMED_RATE, ascending, average_rate, continued, timetable

READERS = ('pyav', 'auto', 'decord', 'torchcodec')
# Checksums are compared and broken rules of a format noticed; what is wrong is told in the log.
_CHECKS = 'crccheck+bitstream+buffer'


def open_video(
    path: str,
    reader: str = 'pyav',
    num_threads: int = 1,
    backend_args: dict | None = None,
) -> 'PyAVReader':
    """Open a video.

    Args:
        path: the file, or its address for ``backend_args``.
        reader: ``'pyav'`` decodes any file that FFmpeg knows and refuses damaged ones.
            ``'auto'`` takes decord where the file's packets and first picture show that it is
            exact, PyAV elsewhere and on machines that have no decord. ``'decord'`` takes decord
            and refuses where it is not exact.
            decord 0.6.0 conceals most damage inside a file, and is no faster
            (benchmarks/decode_*.md). ``'torchcodec'`` (extra, and FFmpeg's libraries) takes
            torchcodec on the same files, refuses others, and knows every processor.
        num_threads: decoding threads of this video; loaders have processes for speed.
        backend_args: for files that are not local, as for ``mmengine.fileio.get``.

    Raises:
        ImportError: for decord and torchcodec where they are not installed.
        ValueError: for another reader.
        VideoReadError: if it cannot be decoded.
    """
    from .decord_reader import DecordReader, not_for_decord
    from .torchcodec_reader import TorchcodecReader

    check_reader(reader, 'open_video')
    source = get(path, backend_args) if backend_args else path
    facts = examine(source, path)
    pyav = PyAVReader(source, path, facts, num_threads)
    if reader == 'pyav' or (reader == 'auto' and not has_decord()):
        return pyav
    trap = not_for_decord(pyav)
    if reader != 'auto' and trap:
        reason = f'{reader} may give other frames than asked for ({trap})'
        raise VideoReadError(path, f"{reason}; set reader='pyav'")
    if trap:
        return pyav
    if reader == 'torchcodec':
        return TorchcodecReader(pyav, substitute=False)
    return DecordReader(pyav, substitute=reader == 'auto')


def check_reader(reader: str, who: str) -> None:
    """Raise ValueError for an unknown reader, ImportError for one that is not installed."""
    if reader not in READERS:
        raise ValueError(f'{who}: reader must be one of {READERS}, got {reader!r}.')
    if reader == 'decord' and not has_decord():
        raise ImportError(
            f"{who}: reader='decord' needs decord, which is not installed and has wheels for "
            "x86-64 alone. Set reader='pyav', which gives the same frames."
        )
    if reader == 'torchcodec':
        from .torchcodec_reader import why_not_torchcodec

        if reason := why_not_torchcodec():
            raise ImportError(
                f"{who}: reader='torchcodec': {reason}. Or set reader='pyav', which gives the "
                'same frames.'
            )


def has_decord() -> bool:
    """Whether decord is installed."""
    return importlib.util.find_spec('decord') is not None


def open_content(content: bytes, name: str) -> 'PyAVReader':
    """Open a video that is in memory, as bytes of a file; ``name`` is for messages.

    Raises:
        VideoReadError: if it cannot be decoded.
    """
    return PyAVReader(content, name, examine(content, name))


class PyAVReader:
    """Decode with FFmpeg through PyAV; damage that FFmpeg notices is an error.

    Where the packets tell the frames (H.264, VP9, MPEG-4 in mp4, mov, mkv, webm), decoding
    starts at the nearest safe key frame and each frame is known by its time. Elsewhere frames
    are counted by decoding once, and taken in order by decoding again. Only the asked frames
    are kept. The orientation noted in the file is applied, as players do.
    """

    def __init__(self, source, path: str, facts: VideoFacts, num_threads: int = 1) -> None:
        self.source, self.path, self.facts = source, path, facts
        self.num_threads = num_threads

    def __len__(self) -> int:
        return len(self.times) - 1

    @cached_property
    def times(self) -> np.ndarray:
        """Seconds from 0 at which each of n frames is shown, and the end of the last: (n + 1,)."""
        facts = self.facts
        if facts.times is not None:
            return timetable(facts.times, facts.last, facts.tick, facts.rate)
        ticks, last = self._carefully(self._count)
        return timetable(ticks, last, facts.tick, facts.rate)

    @property
    def fps(self) -> float:
        """Average frames per second, 0.0 if unknown."""
        return average_rate(self.times, self.facts.tick, self.facts.rate)

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index in order of presentation, each its own (H, W, 3) uint8 RGB array."""
        indices = [int(index) for index in indices]
        check_range(indices, len(self), self.path)
        wanted = sorted(set(indices))
        if self.facts.times is None:
            return one_array_each(indices, self._carefully(lambda: self._by_order(wanted)))
        found = self._carefully(lambda: self._by_time(wanted, seek=True))
        found = found or self._carefully(lambda: self._by_time(wanted, seek=False))
        if found is None:
            raise VideoReadError(self.path, 'decodes to other frames than its packets state')
        return one_array_each(indices, found)

    def pictures(self) -> Iterator[tuple[float, Callable[[], np.ndarray] | None]]:
        """Every frame in order, decoded once, while the file is read.

        Yields:
            Seconds from 0 at which it is shown, and what makes its (H, W, 3) uint8 RGB array; in
            the end the seconds at which the last has been shown, and None.
        """
        self.num_threads = 1  # FFmpeg's threads would report damage later than at its frame
        ticks: list[int | None] = []
        now, step = 0.0, 1 / (self.facts.rate or ASSUMED_RATE)
        with opened(self.source, self.path) as container:
            for frame in self._decode(container):
                if ticks:
                    now = self._later(now, step, frame.pts, ticks[0])
                known = self.facts.times
                if known is not None and frame.pts != known[min(len(ticks), len(known) - 1)]:
                    raise VideoReadError(
                        self.path, 'decodes to other frames than its packets state'
                    )
                ticks.append(frame.pts)
                length = int(frame.duration or 0) * self.facts.tick
                yield now, partial(self._rgb, frame)
        if not ticks:
            raise VideoReadError(self.path, 'has no frame that can be decoded')
        self._refuse_lost(ticks)
        yield now + (length or step), None

    def _later(self, before: float, step: float, tick: int | None, first: int | None) -> float:
        """When a frame is shown: by its own time, a step later where that does not ascend."""
        if tick is None or first is None:
            return before + step
        seconds = (tick - first) * self.facts.tick
        return seconds if seconds > before else before + step

    def first_frame(self) -> av.VideoFrame:
        """The first picture as decoded."""
        with opened(self.source, self.path) as container:
            for frame in self._decode(container):
                return frame
        raise VideoReadError(self.path, 'has no frame that can be decoded')

    def _carefully(self, decode: Callable):
        """Threads of FFmpeg are not heard: where any error is logged, decode without them."""
        try:
            return decode()
        except _UnheardError:
            self.num_threads = 1
            return decode()

    def _count(self) -> tuple[list[int | None], int]:
        """The times of all frames by decoding, and how long the last is shown; ticks."""
        with opened(self.source, self.path) as container:
            shown = [(f.pts, f.dts, f.duration) for f in self._decode(container)]
        if not shown:
            raise VideoReadError(self.path, 'has no frame that can be decoded')
        times, stored, lengths = map(list, zip(*shown, strict=True))
        self._refuse_lost(times)
        return times if ascending(times) else continued(stored), int(lengths[-1] or 0)

    def _refuse_lost(self, times: list[int | None]) -> None:
        """Compare the frames' times with the packets', where each packet must give a frame.

        Frames before the first may be left out: what they are made from was cut off.
        """
        due, first = self.facts.due, times[0]
        if due is None or first is None:
            return
        expected = int((due >= first).sum())
        if len(times) < expected:
            reason = f'is damaged: {expected} pictures are stored, {len(times)} can be decoded'
            raise VideoReadError(self.path, reason)
        if self.facts.container == 'mov' and not ascending(times):
            raise VideoReadError(self.path, 'is damaged: frames come in another order than stated')

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
                found[index] = self._rgb(frame)
        return found

    def _by_order(self, wanted: list[int]) -> dict[int, np.ndarray]:
        found, missing, index = {}, set(wanted), -1
        with opened(self.source, self.path) as container:
            for index, frame in enumerate(self._decode(container)):
                if index in missing:
                    found[index] = self._rgb(frame)
                    missing.remove(index)
                if not missing:
                    return found
        reason = f'gave {len(self)} frames at first and {index + 1} when decoded again'
        raise VideoReadError(self.path, reason)

    def _decode(self, container) -> Iterator[av.VideoFrame]:
        stream, before = video_stream(container, self.path), errors_so_far()
        codec = stream.codec_context
        if not codec.is_open:
            # FFmpeg looks for the end of VP8's data only where it prepares to share out slices.
            slices = codec.name == 'vp8'
            stream.thread_type = 'SLICE' if slices else 'AUTO'
            codec.thread_count = max(2, self.num_threads) if slices else self.num_threads
            codec.flags |= Flags.unaligned  # or some columns that are cropped would stay
            codec.options = {'err_detect': _CHECKS}
        begun = not self.facts.joins_midway
        for number, packet in enumerate(packets_of(container, self.path, stream)):
            begun = begun or packet.is_keyframe
            frames = self._frames_of(packet, codec.name, begun, first=number == 0)
            if begun and self.num_threads > 1 and errors_so_far() > before:
                raise _UnheardError
            for frame in frames:
                if frame.is_corrupt:
                    when = 'a frame' if frame.time is None else f'the frame at {frame.time:.2f} s'
                    raise VideoReadError(self.path, f'is damaged: {when}')
                yield frame

    def _frames_of(self, packet: av.Packet, codec: str, begun: bool, first: bool) -> list:
        """Decode; before a recording's first key frame, complaints are no news."""
        with hearing(self.path, *([codec] if begun else [])) as said:
            frames = packet.decode()
        if begun and not first and self.facts.numbered and misses_a_picture(said):
            raise VideoReadError(self.path, 'is damaged: a picture is missing')
        return frames

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        return orient(rgb(frame), display_matrix(frame), self.path)


class _UnheardError(Exception):
    """An error was logged in some thread: of this file, perhaps."""


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """The picture as stored, (H, W, 3) uint8."""
    # PyAV 19's own conversion keeps a pool of threads, and a process forked later waits for it
    # forever; one thread needs no pool.
    return VideoReformatter().reformat(frame, format='rgb24', threads=1).to_ndarray()


def check_range(indices: list[int], length: int, path: str) -> None:
    """Raise VideoReadError for indices outside [0, length), or none."""
    if not indices or min(indices) < 0 or max(indices) >= length:
        asked = f'{min(indices)} to {max(indices)}' if indices else 'none'
        raise VideoReadError(path, f'has frames 0 to {length - 1}, asked for {asked}')


def one_array_each(indices: list[int], found: dict[int, np.ndarray]) -> list[np.ndarray]:
    """Repeated frames get arrays of their own: later steps may work in place."""
    frames, taken = [], set()
    for index in indices:
        frames.append(found[index].copy() if index in taken else found[index])
        taken.add(index)
    return frames
