"""A recogniser for clips that overlap: each frame is prepared once, and looked at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from torch import Tensor, nn

from ..apis.classifier import VideoClassifier
from ..apis.inputs import frame_of
from ..apis.none_of_these import NONE
from ..apis.predictor import Predictor
from ..datasets.loading import VideoDecode, VideoInit

Model = str | Path | Predictor | VideoClassifier


class FrameModel:
    """The model of an adapter, and what is kept of the frames that clips may still need.

    Where the trunk looks at every frame by itself (`ByFrame`: Side4Video, EVL, DiST, probes, the
    linear baselines, ST-Adapter up to its first adapter) it does so once, and the rest of the
    model runs on what is kept. With other methods whole clips pass the model.

    Args:
        model: an adapter file, a `Predictor`, or a `VideoClassifier` with its transform.
        checkpoint, device: of the model of an adapter file, see `Predictor`.
        portion: frames that the trunk looks at together.
        who: what asks, for messages.

    Attributes:
        once: whether the trunk sees each frame once.
        passes: frames that have passed the whole trunk so far, one as often as it did.

    Raises:
        ValueError: for a pipeline that does not begin with VideoInit, or whose steps behind
            VideoDecode treat the frames of a clip together.
    """

    def __init__(
        self,
        model: Model,
        checkpoint: str | None = None,
        device: Any = None,
        portion: int = 4,
        who: str = 'Stream',
    ) -> None:
        if isinstance(model, str | Path):
            model = Predictor(model, checkpoint, device)
        self.who, self.portion, self.passes = who, portion, 0
        self.none_below = 0.0
        steps = self._take(model)
        kinds = [type(step) for step in steps]
        if kinds[0] is not VideoInit or VideoDecode not in kinds:
            raise ValueError(
                f'{who}: needs a pipeline of mmstadapter.VideoInit, a step that samples, '
                f'mmstadapter.VideoDecode and others, got {", ".join(k.__name__ for k in kinds)}.'
            )
        at = kinds.index(VideoDecode)
        self.sampling, self.spatial = steps[1:at], steps[at + 1 :]
        self.by_frame = getattr(self.backbone, 'by_frame', False)
        self.once = self.by_frame and self.backbone.shared_blocks == len(self.backbone.trunk.blocks)
        self.frames: dict[int, Tensor] = {}
        self.looked: dict[int, tuple[Tensor, ...]] = {}
        self._refuse_steps_over_time()

    def _take(self, model: Predictor | VideoClassifier) -> Sequence[Any]:
        """Take the parts of a model; gives its pipeline."""
        if isinstance(model, Predictor):
            whole = model.model
            if whole.with_neck:
                raise ValueError(f'{self.who}: a model with a neck reads whole videos; remove it.')
            self.device, self.precision = model.device, model._precision
            self.preprocessor, self.labels = whole.data_preprocessor, model.labels
            self.none_below, steps = model.none_below, model.pipeline.transforms
        elif isinstance(model, VideoClassifier) and model.transform and model.cls_head:
            whole = model.eval()
            self.device = next(model.parameters()).device
            self.precision = torch.no_grad
            self.preprocessor = model.transform.preprocessor.to(self.device)
            self.labels = [str(i) for i in range(model.cls_head.num_classes)]
            steps = model.transform.steps
        else:
            raise ValueError(
                f'{self.who}: needs an adapter file, a Predictor, or what create_model gives with '
                f'its transform and classifier, got {type(model).__name__}.'
            )
        self.backbone: nn.Module = whole.backbone
        self.head: nn.Module = whole.cls_head
        return steps

    # ----------------------------------------------------------------- frames

    def prepare(self, image: Any) -> Tensor:
        """A decoded frame, (H, W, 3) uint8 -> its crops, normalised, (C, 3, h, w)."""
        inputs = self._spatial([frame_of(image, self.who).copy()])
        data = dict(inputs=[inputs], data_samples=[])
        return self.preprocessor(data, False)['inputs'][0][:, :, 0]

    def _spatial(self, images: list[np.ndarray]) -> Tensor:
        """The steps behind decoding, of one clip's frames. -> (C, 3, T, h, w)."""
        shape = images[0].shape[:2]
        results: Any = dict(imgs=images, original_shape=shape, img_shape=shape, num_clips=1)
        results |= dict(clip_len=len(images), label=-1, start_index=0, modality='RGB')
        for step in self.spatial:
            results = step(results)
        return results['inputs']

    def _refuse_steps_over_time(self) -> None:
        """Frames may be prepared one by one where that gives what a clip gives."""
        noise = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8)
        clip = self._spatial(list(noise.copy()))
        alone = [self._spatial([frame]) for frame in noise.copy()]
        if clip.ndim != 5 or not torch.equal(clip, torch.cat(alone, dim=2)):
            raise ValueError(
                f'{self.who}: the steps behind VideoDecode must treat every frame by itself and '
                'give (views, 3, T, H, W), without chance. These do not: '
                f'{", ".join(type(step).__name__ for step in self.spatial)}.'
            )

    def put(self, number: int, frame: Tensor) -> None:
        """Keep a prepared frame under its number."""
        old = next(iter(self.frames.values()), frame)
        if old.shape != frame.shape:
            raise ValueError(
                f'{self.who}: frames must have one size when they are prepared, got '
                f'{tuple(frame.shape)} after {tuple(old.shape)}.'
            )
        self.frames[number] = frame

    def forget(self, before: int) -> None:
        """Drop what is kept of frames below a number."""
        for kept in (self.frames, self.looked):
            for number in [n for n in kept if n < before]:
                del kept[number]

    # ------------------------------------------------------------------ clips

    @torch.inference_mode()
    def scores(self, videos: Sequence[np.ndarray]) -> np.ndarray:
        """Class scores of videos, each (V, T) numbers of kept frames, V clips. -> (B, classes)."""
        crops = range(next(iter(self.frames.values())).shape[0])
        rows = [(c, clip.tolist()) for video in videos for c in crops for clip in video]
        clips = [torch.stack([self.frames[n][c] for n in clip], dim=1) for c, clip in rows]
        clips_as_one = torch.stack(clips)
        with self.precision():
            self.passes += 0 if self.once else len(rows) * len(rows[0][1])
            if self.by_frame:
                feature = self.backbone.finish(clips_as_one, self._seen(rows))
            else:
                feature = self.backbone(clips_as_one)
            samples = [ActionDataSample() for _ in videos]
            found = self.head.predict(feature, samples)
        return torch.stack([sample.pred_score.float().cpu() for sample in found]).numpy()

    def _seen(self, rows: list[tuple[int, list[int]]]) -> list[tuple[Tensor, ...]]:
        """What is kept of each frame of each clip that the trunk looks at, in order."""
        numbers = torch.arange(len(rows[0][1])).view(1, 1, -1, 1, 1).expand(1, 3, -1, 1, 1)
        places = self.backbone.looked_at(numbers)[0, 0, :, 0, 0].tolist()
        wanted = [(c, clip[place]) for c, clip in rows for place in places]
        self._look(sorted({n for _, n in wanted} - self.looked.keys()))
        return [tuple(x[c : c + 1] for x in self.looked[n]) for c, n in wanted]

    def _look(self, numbers: list[int]) -> None:
        for start in range(0, len(numbers), self.portion):
            part = numbers[start : start + self.portion]
            kept = self.backbone.look(torch.cat([self.frames[n] for n in part]))
            pieces = [x.split(x.shape[0] // len(part)) for x in kept]
            self.looked |= dict(zip(part, zip(*pieces, strict=True), strict=True))
            self.passes += len(part) if self.once else 0

    def entry(self, scores: np.ndarray) -> dict[str, Any]:
        """label, labels and scores, as of `Predictor`."""
        order = np.argsort(-scores, kind='stable').tolist()
        best = self.labels[order[0]] if scores[order[0]] >= self.none_below else NONE
        found = [round(float(scores[i]), 6) for i in order]
        return dict(label=best, labels=[self.labels[i] for i in order], scores=found)
