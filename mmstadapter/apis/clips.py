"""From a video file, or frames in memory, to the clips that a model reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import MODELS
from mmengine.dataset import Compose
from torch import Tensor

from ..datasets.loading import VideoInit
from ..datasets.neighbours import group_size
from .inputs import HeldFrames


class ClipTransform:
    """The test pipeline of a recipe, normalisation included.

        scores = model(model.transform('a.mp4')).softmax(-1).mean(0)     # mean over the views

    Args:
        steps: the pipeline.
        preprocessor: config of the model's ``data_preprocessor``.
        size: (height, width) of the model's frames, if other than the pipeline's.

    Attributes:
        num_frames: T, frames of a clip, with those around each that a recipe takes besides.
        size: (height, width) of a frame, in pixels.
        mean, std: of red, green and blue, for pixels of 0..255: a clip is (pixels - mean) / std.
        pipeline: the steps, as they are written.
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any]],
        preprocessor: Mapping[str, Any],
        size: tuple[int, int] | None = None,
    ) -> None:
        steps = fit_size([dict(step) for step in steps], size)
        length = next((s['clip_len'] for s in steps if 'clip_len' in s), 1)
        self.num_frames = int(length) * group_size(steps)
        self.size = size or tuple(np.broadcast_to(crop_size(steps) or 0, 2).tolist())
        self.pipeline, self.steps = steps, Compose(steps).transforms
        plain = {key: value for key, value in preprocessor.items() if key != 'blending'}
        self.preprocessor = MODELS.build(plain)  # blending is of training
        self.mean = tuple(preprocessor.get('mean') or (0.0, 0.0, 0.0))
        self.std = tuple(preprocessor.get('std') or (1.0, 1.0, 1.0))

    def __call__(self, video: str | Path | np.ndarray | Tensor, fps: float = 0.0) -> Tensor:
        """The clips of a video, ready for the model.

        Args:
            video: a file, or its decoded frames, uint8 RGB of any size and number, (L, H, W, 3).
            fps: frames a second of frames in memory, for recipes that choose frames by time.

        Returns:
            (V, 3, T, H, W) float32, V the views that the recipe tests.

        Raises:
            VideoReadError: if the file cannot be decoded.
            ValueError: for frames of another shape or type.
        """
        results: Any = dict(label=-1, start_index=0, modality='RGB', video_id='', captions=[])
        steps = list(self.steps)
        if isinstance(video, str | Path):
            results.update(filename=str(video), filename_tmpl=None, video_id=str(video))
        else:
            frames = HeldFrames(video, fps)
            results.update(video_reader=frames, total_frames=len(frames), avg_fps=fps)
            steps = after_opening(self.steps, 'ClipTransform')
        for step in steps:
            results = step(results)
        data = dict(inputs=[results['inputs']], data_samples=[])
        return self.preprocessor(data, training=False)['inputs'][0]

    def __repr__(self) -> str:
        what = f'{self.num_frames} frames of {self.size[0]}x{self.size[1]}'
        return f'ClipTransform({what}, mean={self.mean}, std={self.std})'


def after_opening(steps: Sequence, who: str) -> list:
    """The steps behind the one that opens a file, for what is open already; or ValueError."""
    if not isinstance(steps[0], VideoInit):
        raise ValueError(
            f'{who}: the pipeline begins with {type(steps[0]).__name__}, which opens files alone. '
            'Give a file, or a recipe that begins with VideoInit.'
        )
    return list(steps[1:])


SIZES = ('size', 'crop_size', 'scale')  # of steps, in pixels


def crop_size(steps: list[dict]) -> Any:
    """Pixels of the frames that a pipeline gives, as its last step with a size says it."""
    found = (step[key] for step in reversed(steps) for key in SIZES if key in step)
    return next(found, None)


def fit_size(steps: list[dict], size: tuple[int, int] | None) -> list[dict]:
    """A pipeline with its sizes scaled so that it gives squares of this size."""
    now = crop_size(steps)
    if size is None or size[0] != size[1] or not isinstance(now, int) or now == size[0]:
        return steps

    def scaled(pixels: Any) -> Any:
        if isinstance(pixels, int):
            return round(pixels * size[0] / now) if pixels > 0 else pixels  # -1: as it comes
        return tuple(map(scaled, pixels))

    return [
        step | {key: scaled(pixels) for key, pixels in step.items() if key in SIZES}
        for step in steps
    ]
