"""Overlapping windows of a video, found while its frames come."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

EPS = 1e-6  # seconds


class Window(NamedTuple):
    """From and to in seconds, the first frame and the number of frames."""

    start: float
    end: float
    first: int
    total: int


class Grid:
    """Windows of a length, a stride apart; a last one ends with the video.

    A video shorter than a window is one window. Where no frame begins within a window, the one
    that is still shown stands for it.

    Args:
        window: length in seconds.
        stride: from one's start to the next one's, seconds.

    Raises:
        ValueError: if one is not above zero, or frames would lie between windows.
    """

    def __init__(self, window: float = 4.0, stride: float = 1.0) -> None:
        if not 0 < stride <= window < float('inf'):
            raise ValueError(
                f'timeline: window and stride must be above zero, in seconds, and the stride not '
                f'longer than the window, got {window} and {stride}.'
            )
        self.window, self.stride = window, stride
        self.times: list[float] = []
        self.number = 0
        self.last: Window | None = None

    def add(self, seconds: float) -> list[Window]:
        """Note when the next frame begins; gives the windows that end by then."""
        found = list(self._until(seconds))
        self.times.append(seconds)
        return found

    def close(self, end: float) -> list[Window]:
        """The rest of the windows, of a video that ends then."""
        if not self.times:
            return []
        found = list(self._until(end))
        if self.last is None or self.last.end < end - EPS:
            found.append(self._window(max(0.0, end - self.window), end))
        return found

    def _until(self, seconds: float) -> Iterator[Window]:
        while self.times and (start := self.number * self.stride) + self.window <= seconds + EPS:
            self.number += 1
            yield self._window(start, start + self.window)

    def _window(self, start: float, end: float) -> Window:
        first, stop = (bisect_left(self.times, when - EPS) for when in (start, end))
        if first == stop:
            first = max(0, first - 1)
        self.last = Window(start, end, first, max(1, stop - first))
        return self.last
