"""Watch a source: labels while its frames come, and the events that they make."""

import datetime
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from ..ahead import ahead
from .events import Change, Events
from .live import Frame, Live, Note, Source
from .over_time import HIGH, pictures_of
from .segments import Segment
from .stream import Stream

OFTEN = 60.0  # seconds between sentences about dropped frames


class Recording:
    """Frames of a file, which waits: none is dropped, decoding runs in a thread.

    Args:
        source: a file.

    Attributes:
        fps: frames a second.

    Raises:
        VideoReadError: if it cannot be decoded; while it is read, where it is damaged.
    """

    dropped = damaged = 0

    def __init__(self, source: Source) -> None:
        self.pictures = pictures_of(source.place)
        self.fps = self.pictures.fps or 25.0

    def batches(
        self, wanted: Any, every: int, capacity: int
    ) -> Generator[list[Frame | Note], None, None]:
        """As of `Live`, a frame each; the last one holds the time of the end, and no picture."""
        with closing(ahead([self.pictures.frames], 1)) as streams:
            for number, (seconds, picture) in enumerate(next(streams)):
                if picture is None or number % every in wanted:
                    yield [Frame(number, seconds, picture)]


class Watch:
    """Pushes what a source gives into a stream, and says and writes what its labels do.

    A live source whose frames wait for the model is caught up with: of the clips that are
    complete by then only the latest is labelled.

    Args:
        source: a `Recording` or a `Live`.
        stream: of the model.
        high, low, shortest: as of `timeline`.
        say: takes a `Change`.
        write: takes a `Segment`.
        note: takes a sentence about the source.
    """

    def __init__(
        self,
        source: Recording | Live,
        stream: Stream,
        high: float | None,
        low: float | None,
        shortest: float,
        say: Callable[[Change], None],
        write: Callable[[Segment], None],
        note: Callable[[str], None],
    ) -> None:
        high = (stream.model.none_below or HIGH) if high is None else high
        low = 0.7 * high if low is None else low
        self.events = Events(stream.model.labels, high, low, shortest)
        self.source, self.stream = source, stream
        self.say, self.write, self.note = say, write, note
        self.times: dict[int, float] = {}
        self.seconds, self.read = 0.0, 0
        self.complete = self.labelled = self.segments = 0
        self._next_word = 0.0

    def run(self) -> None:
        """Until the source ends.

        Raises:
            VideoReadError: where it breaks for good.
            KeyboardInterrupt: as it comes. What is open then is written, in any case.
        """
        stream = self.stream
        capacity = stream.clip_frames + len(stream.read)
        try:
            with closing(self.source.batches(stream.read, stream.interval, capacity)) as batches:
                for batch in batches:
                    self._take(batch)
        finally:
            self._over(self.events.end(self.seconds))

    def _take(self, batch: list[Frame | Note]) -> None:
        for item in batch:
            self.seconds = item.seconds
            if isinstance(item, Note):
                self._label()
                self._over(self.events.end(self.times[max(self.times)] if self.times else 0.0))
                self.note(item.sentence)
            elif item.picture is not None:
                self._put(item)
        self._label()
        self._say_what_is_lost()

    def _put(self, frame: Frame) -> None:
        """Into the stream, whose clips begin anew where a frame that they need is not there."""
        stream, number = self.stream, frame.number
        self.read += 1
        while stream.count < number and not stream.reads_next:
            stream.put(None)
        if stream.count < number:
            if number % stream.interval:
                return
            self._label()
            stream.restart(number)
            self.times.clear()
        if not self.times:
            self.events.begin(frame.seconds)
        self.times[number] = frame.seconds
        picture = frame.picture
        if stream.put(picture() if callable(picture) else picture):
            self.complete += 1
            for old in [n for n in self.times if n < number - stream.reach]:
                del self.times[old]

    def _label(self) -> None:
        """Label the latest clip, if there is one since the last time."""
        number = self.stream.complete
        if number is None:
            return
        self.labelled += 1
        middle = (self.times[number - self.stream.reach] + self.times[number]) / 2
        over, changes = self.events.add(middle, self.stream.scores())
        self._over(over)
        for change in changes:
            self.say(change)

    def _over(self, segments: list[Segment]) -> None:
        self.segments += len(segments)
        for segment in segments:
            self.write(segment)

    def _say_what_is_lost(self) -> None:
        if self.source.dropped and time.monotonic() >= self._next_word:
            self._next_word = time.monotonic() + OFTEN
            self.note(self.lost())

    def lost(self) -> str:
        """What was skipped and dropped, in a sentence; '' if nothing."""
        skipped, dropped = self.complete - self.labelled, self.source.dropped
        damaged = f'{self.source.damaged} damaged frames left out' if self.source.damaged else ''
        if not skipped + dropped:
            return damaged
        total = self.read + dropped
        slow = (
            f'the model is slower than the source: {dropped} of {total} frames dropped, '
            f'{skipped} of {self.complete} clips not labelled'
        )
        return '; '.join(filter(None, [slow, damaged]))

    def summary(self) -> str:
        """What was seen, in a sentence."""
        parts = [f'{self.read} frames, {self.labelled} clips, {self.segments} events', self.lost()]
        return f'{self.seconds:.1f} s: ' + '; '.join(filter(None, parts))


def entry_of(segment: Segment, name: str, begun: datetime.datetime | None) -> dict[str, Any]:
    """An event as it is written; with times of the day where ``begun`` says when it all began."""
    numbers = {k: round(x, 3) for k, x in segment._asdict().items() if isinstance(x, float)}
    found: dict[str, Any] = dict(source=name, label=segment.label) | numbers
    if begun is not None:
        for key in ('start', 'end'):
            found[f'{key}_time'] = moment(begun, found[key]).isoformat(timespec='milliseconds')
    return found


def moment(begun: datetime.datetime, seconds: float) -> datetime.datetime:
    """The time of the day so many seconds later."""
    return begun + datetime.timedelta(seconds=seconds)
