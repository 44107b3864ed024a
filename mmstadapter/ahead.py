"""Decoding ahead of the model in threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar('T')
DEPTH = 16  # items of a stream made before they are asked for
PATIENCE = 0.2  # seconds between looks whether to stop


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
