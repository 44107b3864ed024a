"""Frames of a source that does not wait: a webcam, a camera at an address."""

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from threading import Condition, Event, Thread
from typing import NamedTuple

import av

from ..datasets.opening import VideoReadError, video_stream
from ..datasets.timing import ASSUMED_RATE

PATIENCE = 10.0  # seconds without data after which a source is taken for broken
LONGEST = 30.0  # seconds between tries to reach it again


class Frame(NamedTuple):
    """Its number, the seconds at which it came, and the picture; None: the end of a file."""

    number: int
    seconds: float
    picture: Callable | av.VideoFrame | None


class Note(NamedTuple):
    """A break, or that it is over: seconds, and the sentence about it."""

    seconds: float
    sentence: str


class Source(NamedTuple):
    """What is watched: a file, a device or an address; as FFmpeg opens it, and as it is shown."""

    kind: str
    place: str
    name: str


def source_of(text: str) -> Source:
    """What a user's word for a source means, without opening it.

    Args:
        text: a file, ``/dev/video0`` or its number, or an address with ``://``.

    Raises:
        ValueError: if it is none of these, or this PyAV reads no webcams.
    """
    if '://' in text:
        return Source('address', text, re.sub(r'(?<=://)[^/]*@', '', text))  # no password
    if text.isdecimal() and not Path(text).exists():
        text = f'/dev/video{text}'
    if text.startswith('/dev/'):
        return Source('device', _device(text), text)
    if not Path(text).is_file():
        raise ValueError(
            f'watch: a source is a video file, a webcam (/dev/video0, or 0) or an address '
            f'(rtsp://..., http://...); there is no file {text}.'
        )
    return Source('file', text, text)


def _device(path: str) -> str:
    if 'video4linux2,v4l2' not in av.formats_available:
        raise ValueError(
            f'watch: {path}: webcams are read on Linux by a PyAV with v4l2, and this one '
            f'({av.__version__}, {sys.platform}) has none; pip install av, or give an address.'
        )
    if not Path(path).exists():
        there = ', '.join(sorted(map(str, Path('/dev').glob('video*')))) or 'none'
        raise ValueError(f'watch: there is no device {path}; webcams here: {there}.')
    return path


class Live:
    """Reads a source in a thread, which keeps what the latest clip needs and drops what is older.

    A source whose container states how long it is (a recording behind an address) is waited for
    instead: nothing is dropped, and its end is the end.

    Args:
        source: a device or an address.
        options: FFmpeg's, by name.
        retries: how often in a row to try again where it breaks.

    Attributes:
        fps: frames a second that it states, or 25.
        dropped, damaged: frames so far that were wanted and dropped; that could not be decoded.

    Raises:
        VideoReadError: if it cannot be opened.
    """

    def __init__(self, source: Source, options: dict[str, str], retries: int) -> None:
        self.source, self.options, self.retries = source, options, retries
        self.dropped = self.damaged = 0
        self.next, self.held = 0, 0
        self.waiting: deque[Frame | Note | Exception | None] = deque()
        self.changed, self.stop = Condition(), Event()
        self.container: av.container.InputContainer | None = connect(source, options)
        stream = video_stream(self.container, source.name)
        self.fps = float(stream.average_rate or stream.guessed_rate or ASSUMED_RATE)
        self.is_recorded = self.container.duration is not None

    def batches(
        self, wanted: Collection[int], every: int, capacity: int
    ) -> Generator[list, None, None]:
        """All that has come since the last time, whenever something has; the thread begins here.

        Args:
            wanted: numbers of the frames that are kept, modulo ``every``.
            capacity: frames kept at most.

        Raises:
            VideoReadError: if it breaks for good.
        """
        self.wanted, self.every, self.capacity = wanted, every, capacity
        self.begun = time.monotonic()
        Thread(target=self._run, daemon=True).start()
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.waiting)
                    batch, self.held = list(self.waiting), 0
                    self.waiting.clear()
                    self.changed.notify_all()
                last = batch[-1]
                found = [item for item in batch if isinstance(item, Frame | Note)]
                yield from [[item] for item in found] if self.is_recorded else [found]
                if isinstance(last, Exception):
                    raise last
                if last is None:
                    return
        finally:
            with self.changed:
                self.stop.set()
                self.changed.notify_all()

    # ------------------------------------------------------- in the thread

    def _run(self) -> None:
        """Read, and try again where it breaks."""
        tries = 0
        while not self.stop.is_set():
            before = self.next
            try:
                self._read(tries > 0)
                if self.is_recorded:
                    return self._put(None)
                reason = 'ended'
            except VideoReadError as error:
                reason = error.reason
            except Exception as error:
                return self._put(error)
            tries = 1 if self.next > before else tries + 1
            if tries > self.retries or self.is_recorded:
                said = f'{reason}; {self.retries} tries in a row to reach it again failed'
                return self._put(VideoReadError(self.source.name, said if tries > 1 else reason))
            self.next = (self.next // self.every + 2) * self.every  # a gap, and a clip's first
            seconds = min(LONGEST, 2.0 ** (tries - 1))
            self._note(f'{reason}; trying again in {seconds:g} s ({tries} of {self.retries})')
            self.stop.wait(seconds)

    def _read(self, is_again: bool) -> None:
        """Frames until it ends or breaks."""
        container = self.container or connect(self.source, self.options)
        self.container = None
        with container:
            for frame in self._frames(container):
                if is_again:
                    self._note('is back')
                    is_again = False
                self._take(frame)
                if self.stop.is_set():
                    return

    def _frames(self, container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        stream = video_stream(container, self.source.name)
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    self.damaged += 1
                    continue
                for frame in frames:
                    self.damaged += frame.is_corrupt
                    if not frame.is_corrupt:
                        yield frame
        except (av.FFmpegError, OSError, IndexError) as error:
            raise VideoReadError(self.source.name, f'broke: {_words(error)}') from error

    def _take(self, frame: av.VideoFrame) -> None:
        number, self.next = self.next, self.next + 1
        if number % self.every not in self.wanted:
            return
        seconds = time.monotonic() - self.begun
        if self.is_recorded:
            seconds = number / self.fps
        with self.changed:
            if self.is_recorded:
                self.changed.wait_for(lambda: self.held < self.capacity or self.stop.is_set())
            elif self.held == self.capacity:
                del self.waiting[next(i for i, x in enumerate(self.waiting) if type(x) is Frame)]
                self.dropped, self.held = self.dropped + 1, self.held - 1
            self.held += 1
            self._put(Frame(number, seconds, frame))

    def _note(self, sentence: str) -> None:
        self._put(Note(time.monotonic() - self.begun, sentence))

    def _put(self, item: Frame | Note | Exception | None) -> None:
        with self.changed:
            self.waiting.append(item)
            self.changed.notify_all()


def connect(source: Source, options: dict[str, str]) -> av.container.InputContainer:
    """Open a device or an address.

    Raises:
        VideoReadError: if that fails.
    """
    if source.place.startswith(('rtsp://', 'rtsps://')):
        options = dict(rtsp_transport='tcp') | options  # UDP loses packets, and says nothing
    kind = 'v4l2' if source.kind == 'device' else None
    try:
        return av.open(source.place, format=kind, options=options, timeout=PATIENCE)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(source.name, f'cannot be opened: {_words(error)}') from error


def _words(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):
        return f'no data for {PATIENCE:g} s'
    return (getattr(error, 'strerror', None) or str(error)).lower()
