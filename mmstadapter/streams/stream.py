"""A stream: frames one at a time, a prediction for the latest clip."""

from typing import Any

import av
import numpy as np

from ..apis.predictor import WINDOW
from ..datasets.neighbours import AddNeighbours
from ..datasets.orientation import display_matrix, orient
from ..datasets.readers import rgb
from .frame_model import FrameModel, Model

MARGIN = 1024  # frames around a clip that its neighbours may reach to


class Stream:
    """Labels of the latest clip of a stream, after each frame that completes one.

        stream = mmstadapter.Stream('adapter.safetensors')
        for frame in frames:
            if found := stream.push(frame):
                print(found['frame'], found['label'], found['scores'][0])

    The model reads every r-th frame, r the recipe's frame interval, and keeps the latest T. Each
    result is what the model gives for that clip as a whole, to 1e-5; bit for bit where it takes
    its clips' frames one by one too (``frames_per_pass=1``). Side4Video, EVL, probes and the
    linear baselines send a frame through the trunk once, DiST every second one of a clip;
    ST-Adapter reuses what lies before its first adapter, and recomputes all T frames from there
    on; other methods recompute whole clips. No more than T frames are kept, however long it runs.

    Args:
        model: an adapter file, a `Predictor`, or what `create_model` gives.
        interval: frames from one that is read to the next; the recipe's if None. Recipes that
            spread their frames over a whole video have none, and need it or ``fps``.
        checkpoint, device: as of `Predictor`.
        window: seconds that a clip is to last, in place of the recipe's interval; 4 where that
            has none. It needs ``fps``.
        fps: frames a second of the stream.

    Attributes:
        interval: see above.
        clip_frames: T, with the neighbours that a recipe takes besides.
        count: frames pushed so far.

    Raises:
        ValueError: without an interval, or for a model that cannot be used so.
    """

    def __init__(
        self,
        model: Model,
        interval: int | None = None,
        checkpoint: str | None = None,
        device: Any = None,
        *,
        window: float | None = None,
        fps: float = 0.0,
    ) -> None:
        self.model = FrameModel(model, checkpoint, device, portion=1)
        sampler = next((s for s in self.model.sampling if hasattr(s, 'clip_len')), None)
        if sampler is None:
            raise ValueError('Stream: the pipeline has no step that samples clips of clip_len.')
        if interval is None and window is None:
            interval = getattr(sampler, 'frame_interval', None)
        self.interval = _checked(interval, window, fps, sampler)
        self.offsets = self._offsets(sampler.clip_len)
        self.clip_frames, self.reach = len(self.offsets), int(self.offsets[-1])
        self.read = set((self.offsets % self.interval).tolist())
        self.count = 0
        self.restart()

    def _offsets(self, clip_len: int) -> np.ndarray:
        """The frames of a clip, counted from its first, neighbours included; ascending ends."""
        sampled = MARGIN + self.interval * np.arange(clip_len)
        results: Any = dict(frame_inds=sampled, clip_len=clip_len, start_index=0, num_clips=1)
        results['total_frames'] = int(sampled[-1]) + MARGIN
        for step in self.model.sampling:
            if isinstance(step, AddNeighbours):
                results = step(results)
        return results['frame_inds'] - results['frame_inds'].min()

    def restart(self, count: int | None = None) -> None:
        """Begin a new clip with the next frame, as after a break.

        Args:
            count: the number of that frame; it counts on if None.
        """
        self.count = self.begun = self.count if count is None else count
        self.complete: int | None = None
        self.model.frames.clear()
        self.model.looked.clear()

    @property
    def reads_next(self) -> bool:
        """Whether the next frame is one that clips are made of; others may be pushed as None."""
        return (self.count - self.begun) % self.interval in self.read

    def push(self, frame: Any) -> dict[str, Any] | None:
        """Take the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB, array or tensor, a PIL image, or a frame of PyAV; None
                where `reads_next` is false.

        Returns:
            None, or where a clip is complete ``frame`` (the number of its last frame, counted
            from 0), ``label``, ``labels`` and ``scores`` as of `Predictor`.

        Raises:
            ValueError: for anything else.
        """
        return self.latest() if self.put(frame) else None

    def put(self, frame: Any) -> bool:
        """Take the next frame as `push` does, and say whether it completes a clip."""
        reads, number = self.reads_next, self.count
        if reads:
            self.model.put(number, self.model.prepare(_image(frame)))
        self.count += 1
        first = number - self.reach
        if first < self.begun or (first - self.begun) % self.interval:
            return False
        self.complete = number
        self.model.forget(first)
        return True

    def latest(self) -> dict[str, Any]:
        """What `push` gives, of the latest clip that is complete; clips before it cost nothing.

        Raises:
            RuntimeError: if none was completed since the last.
        """
        number = self.complete
        return dict(frame=number) | self.model.entry(self.scores())

    def scores(self) -> np.ndarray:
        """The numbers of `latest`, in the order of ``model.labels``."""
        if self.complete is None:
            raise RuntimeError('Stream: no further clip is complete; put frames until one is.')
        first = self.complete - self.reach
        (scores,) = self.model.scores([(first + self.offsets)[None]])
        self.model.forget(first + self.interval)
        self.complete = None
        return scores


def _image(frame: Any) -> Any:
    if not isinstance(frame, av.VideoFrame):
        return frame
    return orient(rgb(frame), display_matrix(frame), 'stream')


def _checked(interval: Any, window: float | None, fps: float, sampler: Any) -> int:
    """The interval that is given, or the one of so many seconds."""
    if isinstance(interval, int) and interval > 0:
        return interval
    if interval is not None:
        raise ValueError(f'Stream: interval must be a whole number from 1, got {interval!r}.')
    window = WINDOW if window is None else window
    if 0 < window < float('inf') and 0 < fps < float('inf'):
        return max(1, round(window * fps / sampler.clip_len))
    if fps or window != WINDOW:
        raise ValueError(
            'Stream: a window goes by seconds and frames a second, both above zero, got '
            f'window={window}, fps={fps}.'
        )
    raise ValueError(
        f'Stream: {type(sampler).__name__} spreads its {sampler.clip_len} frames over a whole '
        'video, which a stream has not. Say frames a second, fps=25, and how long a clip is to '
        f'last, window={WINDOW:g}, or frames from one to the next, interval=8.'
    )
