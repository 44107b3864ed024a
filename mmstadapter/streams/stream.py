"""A stream: frames one at a time, a prediction for the latest clip."""

from typing import Any

import av
import numpy as np

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
            spread their frames over a whole video have none, and need it: seconds that a clip is
            to last, times frames a second, over T.
        checkpoint, device: as of `Predictor`.

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
    ) -> None:
        self.model = FrameModel(model, checkpoint, device, portion=1)
        sampler = next((s for s in self.model.sampling if hasattr(s, 'clip_len')), None)
        if sampler is None:
            raise ValueError('Stream: the pipeline has no step that samples clips of clip_len.')
        stated = getattr(sampler, 'frame_interval', None)
        self.interval = _checked(stated if interval is None else interval, sampler)
        self.offsets = self._offsets(sampler.clip_len)
        self.clip_frames, self.reach = len(self.offsets), int(self.offsets[-1])
        self._read = set((self.offsets % self.interval).tolist())
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

    def restart(self) -> None:
        """Begin a new clip with the next frame, as after a break."""
        self.count = self.begun = getattr(self, 'count', 0)
        self.model.frames.clear()
        self.model.looked.clear()

    @property
    def reads_next(self) -> bool:
        """Whether the next frame is one that clips are made of; others may be pushed as None."""
        return (self.count - self.begun) % self.interval in self._read

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
        reads, number = self.reads_next, self.count
        if reads:
            self.model.put(number, self.model.prepare(_image(frame)))
        self.count += 1
        first = number - self.reach
        if first < self.begun or (first - self.begun) % self.interval:
            return None
        (scores,) = self.model.scores([(first + self.offsets)[None]])
        self.model.forget(first + self.interval)
        return dict(frame=number) | self.model.entry(scores)


def _image(frame: Any) -> Any:
    if not isinstance(frame, av.VideoFrame):
        return frame
    return orient(rgb(frame), display_matrix(frame), 'stream')


def _checked(interval: Any, sampler: Any) -> int:
    if isinstance(interval, int) and interval > 0:
        return interval
    if interval is not None:
        raise ValueError(f'Stream: interval must be a whole number from 1, got {interval!r}.')
    raise ValueError(
        f'Stream: {type(sampler).__name__} spreads its {sampler.clip_len} frames over a whole '
        'video, which a stream has not. Say how far apart they are: interval=seconds of a clip '
        f'* frames a second / {sampler.clip_len}.'
    )
