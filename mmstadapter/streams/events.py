"""Segments of a stream: what `merged` finds in the end, each as soon as it is over."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..apis.none_of_these import NONE
from .segments import Segment, check_thresholds


class Change(NamedTuple):
    """From a time on, in seconds, a label is shown; its score."""

    seconds: float
    label: str
    score: float


@dataclass
class _Open:
    """A segment that goes on."""

    start: float
    total: float = 0.0
    count: int = 0
    peak: float = 0.0
    is_said: bool = False

    def add(self, score: float) -> None:
        self.total, self.count = self.total + score, self.count + 1
        self.peak = max(self.peak, score)


class Events:
    """Opens a segment where a class's score reaches ``high``, closes it below ``low``.

    A clip's scores stand for the time half way to its neighbours' middles, as in `timeline`.

    Args:
        labels: of the classes.
        high, low, shortest: as of `timeline`.

    Attributes:
        label: what is shown: the last one opened of those still open, or none of these.
    """

    def __init__(self, labels: Sequence[str], high: float, low: float, shortest: float) -> None:
        check_thresholds(high, low, shortest)
        self.labels, self.high, self.low, self.shortest = labels, high, low, shortest
        self.opened: dict[int, _Open] = {}
        self.label, self.now, self.middle = '', 0.0, -1.0

    def begin(self, seconds: float) -> None:
        """The next clip is the first one of a stretch that begins then."""
        self.now, self.middle = seconds, -1.0

    def add(self, middle: float, scores: np.ndarray) -> tuple[list[Segment], list[Change]]:
        """Scores of a clip with its middle in seconds -> what is over, and what is shown now."""
        if self.middle >= 0:
            self.now = (self.middle + middle) / 2
        self.middle = middle
        over = self._close(i for i in self.opened if scores[i] < self.low)
        for index in np.flatnonzero(scores >= self.high).tolist():
            self.opened.setdefault(index, _Open(self.now))
        for index, part in self.opened.items():
            part.add(float(scores[index]))
        return [segment for segment, _ in over], self._changes(over, float(scores.max()))

    def end(self, seconds: float) -> list[Segment]:
        """The stream ends or breaks then: so do the segments."""
        self.now, self.label = seconds, ''
        return [segment for segment, _ in self._close(self.opened)]

    def _close(self, indices: Any) -> list[tuple[Segment, bool]]:
        """Segments that end now, and whether each was said; short ones are left out."""
        found = []
        for index in list(indices):
            part = self.opened.pop(index)
            if self.now - part.start >= self.shortest - 1e-9:
                mean, label = part.total / part.count, self.labels[index]
                segment = Segment(part.start, self.now, label, mean, part.peak)
                found.append((segment, part.is_said))
        return found

    def _changes(self, over: list[tuple[Segment, bool]], best: float) -> list[Change]:
        found = [Change(s.start, s.label, s.peak) for s, is_said in over if not is_said]
        sure = [(i, x) for i, x in self.opened.items() if self.now - x.start >= self.shortest]
        news = [(i, part) for i, part in sure if not part.is_said]
        for index, part in news:
            part.is_said = True
            found.append(Change(part.start, self.labels[index], part.peak))
        label = self.labels[sure[-1][0]] if sure else NONE
        if label != (found[-1].label if found else self.label):
            found.append(Change(self.now, label, sure[-1][1].peak if sure else best))
        self.label = label
        return found


class EventFile:
    """A file that events are added to, a line each, which whoever kills the process leaves whole.

    Args:
        path: a .jsonl file; what it holds stays.
        force: begin it anew.

    Raises:
        ValueError: for another suffix.
        OSError: if it cannot be written.
    """

    def __init__(self, path: Path, force: bool = False) -> None:
        if path.suffix.lower() != '.jsonl':
            raise ValueError(f'watch: events are written as lines of JSON, .jsonl; got {path}.')
        path.parent.mkdir(parents=True, exist_ok=True)
        is_cut = not force and _ends_midway(path)
        self.file = path.open('wb' if force else 'ab', buffering=0)
        if is_cut:
            self.file.write(b'\n')

    def write(self, entry: dict[str, Any]) -> None:
        """Add a line, at once and in one piece."""
        self.file.write((json.dumps(entry, ensure_ascii=False) + '\n').encode('utf-8', 'replace'))


def _ends_midway(path: Path) -> bool:
    """Whether the last line has no end: its writer's machine stopped."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open('rb') as file:
        file.seek(-1, 2)
        return file.read() != b'\n'
