"""Decoding ahead of the model in threads, and telling how far it is."""

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

from .printing import shown, tail
from .storage import VideoStamp

T = TypeVar('T')
DEPTH = 16  # items of a stream made before they are asked for
PATIENCE = 0.2  # seconds between looks whether to stop
QUIET_SECONDS = 30.0  # between lines where the output is no terminal


def ahead(
    makers: Iterable[Callable[[], Iterable[T]]], threads: int
) -> Generator[Iterator[T], None, None]:
    """The iterables that ``makers`` give, in order, each filled ahead by a thread of its own.

    The streams must be used up in order. An exception in one is raised where its item would
    have come. Closing this generator stops the threads.
    """
    stop = Event()
    running: deque[_Stream[T]] = deque()
    try:
        for maker in makers:
            running.append(_Stream(maker, stop))
            if len(running) == threads:
                yield iter(running.popleft())
        while running:
            yield iter(running.popleft())
    finally:
        stop.set()


class _Stream(Generic[T]):
    """One iterable, up to ``DEPTH`` items of it ready."""

    def __init__(self, maker: Callable[[], Iterable[T]], stop: Event) -> None:
        self.queue: Queue[tuple[bool, T | BaseException | None]] = Queue(DEPTH)
        self.stop = stop
        Thread(target=self._fill, args=(maker,), daemon=True).start()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                is_item, value = self.queue.get(timeout=PATIENCE)
            except Empty:
                if self.stop.is_set():
                    return
                continue
            if isinstance(value, BaseException):
                raise value
            if not is_item:
                return
            yield value  # type: ignore[misc]

    def _fill(self, maker: Callable[[], Iterable[T]]) -> None:
        try:
            for item in maker():
                if not self._put((True, item)):
                    return
            self._put((False, None))
        except BaseException as error:
            self._put((False, error))

    def _put(self, entry: tuple[bool, T | BaseException | None]) -> bool:
        """False if nobody will take it."""
        while not self.stop.is_set():
            try:
                self.queue.put(entry, timeout=PATIENCE)
                return True
            except Full:
                continue
        return False


class Progress:
    """How many of the videos are done and how long the rest will take, by their bytes.

    One line that is rewritten on a terminal, a line every half minute elsewhere.

    Args:
        stamps: the videos to do.
        say: takes the lines for the user.
    """

    def __init__(self, stamps: Sequence[VideoStamp], say: Callable[[str], None]) -> None:
        self.count, self.total = len(stamps), sum(stamp.size for stamp in stamps)
        self.number = self.bytes = 0
        self.begun = self.said = time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        self._say = say

    def done(self, stamp: VideoStamp) -> None:
        """Another video is done."""
        self.number, self.bytes = self.number + 1, self.bytes + stamp.size
        now = time.monotonic()
        if self.is_terminal:
            line = f'{self.line(now)}  '
            room = shutil.get_terminal_size().columns - 1 - len(line)
            self._rewrite(line + tail(shown(stamp.path), min(room, 40)))
        elif now - self.said > QUIET_SECONDS:
            self._say(self.line(now))
            self.said = now

    def say(self, line: str) -> None:
        """A line for the user in the place of the rewritten one."""
        self.close()
        self._say(line)

    def close(self) -> None:
        """Take the rewritten line away."""
        if self.is_terminal:
            self._rewrite('')

    def _rewrite(self, line: str) -> None:
        print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)

    def line(self, now: float) -> str:
        """'12/340 videos, 1:02 so far, about 25:13 left'."""
        so_far = now - self.begun
        left = so_far * (self.total - self.bytes) / max(self.bytes, 1)
        return (
            f'{self.number}/{self.count} videos, {_clock(so_far)} so far, about {_clock(left)} left'
        )


def _clock(seconds: float) -> str:
    """75.0 -> '1:15'; hours are counted in minutes up to 100 of them."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes}:{rest:02d}' if minutes < 100 else f'{minutes // 60} h {minutes % 60:02d} min'
