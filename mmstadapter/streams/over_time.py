"""Scores over time for a long video, and the segments that they make."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..ahead import ahead
from ..apis.inputs import HeldFrames, Source, sources
from ..datasets.opening import VideoReadError
from ..datasets.readers import PyAVReader, open_video
from .frame_model import FrameModel, Model
from .grid import Grid, Window
from .segments import Segment, bounds_of, check_thresholds, merged
from .writing import write

HIGH = 0.5  # of a model without a threshold of its own
BATCH = 4  # windows at a time


@dataclass
class Timeline:
    """What a video shows when.

    Attributes:
        video: its name.
        seconds: its length.
        labels: of the C classes.
        windows: from and to in seconds of each of the n windows.
        scores: (n, C), in [0, 1].
        segments: see `Segment`; those of two classes may overlap.
        thresholds: ``high``, ``low`` and ``shortest`` that made them.
        cost: ``frames`` decoded, ``used`` in windows, ``passes`` through the trunk, and
            ``window_by_window`` the passes that windows one by one would have taken.
        stopped: why the video ended before its end; '' if it did not.
    """

    video: str
    seconds: float
    labels: list[str]
    windows: list[tuple[float, float]]
    scores: np.ndarray
    segments: list[Segment]
    thresholds: dict[str, float]
    cost: dict[str, int]
    stopped: str = ''

    def write(self, path: str | Path) -> None:
        """Write it as the suffix says: .json, .csv, .srt, .vtt, or a picture (.png, .svg ...)."""
        write(self, Path(path))

    def cost_line(self) -> str:
        """What it took, in a sentence."""
        cost = self.cost
        return (
            f'{cost["frames"]} frames decoded once, {cost["used"]} of them in '
            f'{len(self.windows)} windows; {cost["passes"]} passes of the trunk, '
            f'{cost["window_by_window"]} window by window'
        )


def timeline(
    model: Model,
    video: Any,
    window: float = 4.0,
    stride: float = 1.0,
    *,
    high: float | None = None,
    low: float | None = None,
    shortest: float | None = None,
    fps: float = 0.0,
    checkpoint: str | None = None,
    device: Any = None,
) -> Timeline:
    """Label a long video over time.

    Windows give what `Predictor` gives for these frames alone (to 1e-5). Each frame is decoded
    once, and where the method stands beside the trunk each frame passes the trunk once, however
    many windows see it. What no window needs any more is dropped.

    Args:
        model: an adapter file, a `Predictor`, or what `create_model` gives.
        video: a file, an open file or its bytes, an array (T, H, W, 3), a list or an iterator
            of frames, which is read as it comes.
        window, stride: in seconds.
        high: a segment opens where a class's score is at least that; the adapter's own threshold
            (see `Predictor`) or 0.5 if None.
        low: and closes below that; 0.7 of ``high`` if None.
        shortest: seconds; shorter segments are left out; the stride if None.
        fps: frames a second, of frames in memory, which need it.
        checkpoint, device: as of `Predictor`.

    Raises:
        VideoReadError: if not one frame can be decoded. Where a video turns out to be damaged
            later, the result ends there and ``stopped`` says why.
        ValueError: for thresholds or windows that cannot be, or another input.
    """
    grid = Grid(window, stride)
    frame_model = FrameModel(model, checkpoint, device, who='timeline')
    high = (frame_model.none_below or HIGH) if high is None else high
    low, shortest = 0.7 * high if low is None else low, stride if shortest is None else shortest
    check_thresholds(high, low, shortest)
    pictures = pictures_of(video, fps)
    found = _Pass(frame_model, grid, pictures).run()
    labels, end = frame_model.labels, found.end
    windows = [(w.start, w.end) for w in found.windows]
    scores = np.concatenate(found.scores)
    segments = merged(scores, bounds_of(windows, end), labels, high, low, shortest)
    cost = dict(
        frames=len(grid.times),
        used=found.used,
        passes=frame_model.passes,
        window_by_window=found.one_by_one,
    )
    thresholds = dict(high=high, low=low, shortest=shortest)
    return Timeline(
        pictures.name, end, list(labels), windows, scores, segments, thresholds, cost, found.stopped
    )


Picture = tuple[float, Callable[[], np.ndarray] | None]


class Pictures(NamedTuple):
    """A video's frames as they come: name, rate, when each is shown if known before, and they."""

    name: str
    fps: float
    times: np.ndarray | None
    frames: Callable[[], Iterator[Picture]]


def pictures_of(video: Any, fps: float = 0.0) -> Pictures:
    """A video's frames as they come; arguments as of `timeline`."""
    if isinstance(video, Iterator) and not hasattr(video, 'read'):
        _require_rate(fps)
        first = next(video, None)
        if first is None:
            raise ValueError('timeline: no frame is given, the iterator is empty.')
        return Pictures('frames', fps, None, partial(_held, chain([first], video), fps))
    found = list(sources(video, fps, 'timeline'))
    if len(found) > 1:
        raise ValueError(f'timeline: takes one video at a time, got {len(found)}.')
    (source,) = found
    if isinstance(source.content, HeldFrames):
        _require_rate(fps)
        times = np.arange(len(source.content) + 1) / fps
        return Pictures('frames', fps, times, partial(_held, source.content.frames, fps))
    reader = _reader(source)
    known = reader.facts.times is not None
    rate = reader.fps if known else reader.facts.rate
    return Pictures(source.name, rate, reader.times if known else None, reader.pictures)


def _reader(source: Source) -> PyAVReader:
    return open_video(source.content) if isinstance(source.content, str) else source.opened()


def _require_rate(fps: float) -> None:
    if not 0 < fps < float('inf'):
        raise ValueError(f'timeline: frames in memory need fps, frames a second, got {fps}.')


def _held(frames: Any, fps: float) -> Iterator[Picture]:
    number = -1
    for number, frame in enumerate(frames):
        yield number / fps, partial(_same, frame)
    yield (number + 1) / fps, None


def _same(frame: Any) -> Any:
    return frame


@dataclass
class _Pass:
    """One pass over a video."""

    model: FrameModel
    grid: Grid
    pictures: Pictures
    windows: list[Window] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)
    end: float = 0.0
    used: int = 0
    one_by_one: int = 0
    stopped: str = ''

    def run(self) -> '_Pass':
        """Decode in a thread, score the windows as they are complete, forget what is behind."""
        due: list[Window] = []
        with closing(ahead([self._prepared], 1)) as streams:
            try:
                for number, (seconds, frame) in enumerate(chain.from_iterable(streams)):
                    self.end = seconds
                    if frame is None:
                        break
                    due += self.grid.add(seconds)
                    due = self._score(due, BATCH)
                    if isinstance(frame, Tensor):
                        self.model.put(number, frame)
                        self.used += 1
            except VideoReadError as error:
                if not self.grid.times:
                    raise
                self.stopped = error.reason
                self.end = self.grid.times[-1] + 1 / (self.pictures.fps or 25.0)
        self._score(due + self.grid.close(self.end), 1)
        return self

    def _prepared(self) -> Iterator[tuple[float, Tensor | bool | None]]:
        """Each frame's time, and it itself where a window may need it; in the end None."""
        wanted = self._wanted()
        for number, (seconds, picture) in enumerate(self.pictures.frames()):
            if picture is None:
                yield seconds, None
            elif wanted is None or number in wanted:
                yield seconds, self.model.prepare(picture())
            else:
                yield seconds, False

    def _wanted(self) -> set[int] | None:
        """The frames that windows sample, where the times of all are known before decoding."""
        if (times := self.pictures.times) is None:
            return None
        grid = Grid(self.grid.window, self.grid.stride)
        windows = [w for seconds in times[:-1].tolist() for w in grid.add(seconds)]
        windows += grid.close(float(times[-1]))
        return {int(n) for w in windows for n in self._clips(w).ravel()}

    def _clips(self, window: Window) -> np.ndarray:
        """The frames that the recipe takes of a window, (V, T)."""
        results: Any = dict(total_frames=window.total, avg_fps=self.pictures.fps, start_index=0)
        results |= dict(label=-1, modality='RGB', filename=self.pictures.name)
        for step in self.model.sampling:
            results = step(results)
        inside = np.asarray(results['frame_inds']).reshape(-1, results['clip_len'])
        return window.first + inside

    def _score(self, due: list[Window], batch: int) -> list[Window]:
        """Score windows, full batches at a time; gives those that are left."""
        while len(due) >= batch:
            now, due = due[:BATCH], due[BATCH:]
            clips = [self._clips(window) for window in now]
            self.scores.append(self.model.scores(clips))
            self.windows += now
            self.one_by_one += sum(clip.size for clip in clips)
            self.model.forget(now[-1].first)
        return due
