"""Let a frozen trunk look at the clips of a training once, and train on what it gave."""

import copy
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

from ..config_fields import spread_fields
from ..datasets.feature_cache import Kept, digest_of, keep, keep_reason, rounded, sample_of
from ..datasets.opening import VideoReadError
from ..models.backbones.by_frame import ByFrame
from ..models.ops.clips import images_of
from ..progress import Progress
from .building import build_model
from .caching import MARGIN, free_room
from .device import choose_device
from .estimate import Estimate, estimate_of, span
from .feature_clips import Keeping, Part, Todo
from .pipelines import clips_a_video

WITH = '--method side4video, tdsclip, evl, dist, probe, linear or attnpool'
RECOGNIZER = 'mmstadapter.FeatureRecognizer3D'


def refuse_unfit(model: Mapping[str, Any]) -> None:
    """Refuse a model whose features change while it is trained; no weights are read.

    Raises:
        ValueError: with what to change.
    """
    if 'cls_head' not in model:
        raise ValueError(
            '--cache-features: is for classifiers (model.cls_head), not for captions. Leave it out.'
        )
    with torch.device('meta'):
        backbone = MODELS.build(copy.deepcopy(dict(model['backbone'])))
        changes = _what_changes(backbone)
    if changes:
        raise ValueError(
            f'--cache-features: what {type(backbone).__name__} makes of a clip changes as it is '
            f'trained: {changes}. Take {WITH}, or leave --cache-features out.'
        )
    if (model.get('data_preprocessor') or {}).get('blending'):
        raise ValueError(
            '--cache-features: model.data_preprocessor.blending mixes clips of a batch, which the '
            'trunk has then not seen. Add --cfg-options model.data_preprocessor.blending=None.'
        )
    if model.get('neck'):
        raise ValueError('--cache-features: needs a model without a neck. Set model.neck=None.')
    if model['backbone']['trunk'].get('checkpoint') is None:
        raise ValueError(
            "--cache-features: the trunk is random, which no later run repeats. Name the trunk's "
            'weights with --checkpoint.'
        )


def _what_changes(backbone: nn.Module) -> str:
    """Why what the trunk gives of frames cannot be kept; '' if it can. On the meta device."""
    if not isinstance(backbone, ByFrame) or not backbone.by_frame:
        return 'the layers of its trunk see whole clips'
    if not backbone.shared_blocks:
        return 'a trained adapter stands in the first block'
    if any(parameter.requires_grad for parameter in backbone.trunk.parameters()):
        return 'its trunk is trained'
    backbone.trunk.checkpoint = None  # its weights do not matter here
    looked = backbone.look(torch.zeros(1, 3, *backbone.trunk.img_size))
    return 'trained parameters stand in the trunk' if any(x.requires_grad for x in looked) else ''


class FeaturePlan:
    """What is to be kept of the clips of a training, and what that takes; printed, it says so.

    Args:
        config: of the training. The trunk's weights must be there.
        keeping: where and what.

    Attributes:
        todo: clips that are not kept yet.
        nbytes: that they take, about.
        seconds: of this machine.
        training: what training on them takes then, None if that was not measured.

    Raises:
        ValueError: if the model does not fit, or the folder holds features made in another way.
    """

    def __init__(self, config: Config, keeping: Keeping) -> None:
        spread_fields(config)
        refuse_unfit(config.model)
        self.keeping, self.given = keeping, config
        device = choose_device()
        changed = config.model.to_dict() | dict(type=RECOGNIZER)
        self.model = build_model(changed, pretrained=True).to(device)
        kinds = [kind for kind in ('train', 'val') if config.get(f'{kind}_dataloader')]
        self.parts = [Part(kind, config, keeping, self.model, device) for kind in kinds]
        self.todo = [clip for part in self.parts for clip in part.todo()]
        self.nbytes = self.seconds = 0.0
        self.training: Estimate | None = None
        for part in self.parts:
            self._measure([clip for clip in self.todo if clip[0] is part])

    def look(self, part: Part, index: int, number: int) -> Kept:
        """A clip and what the trunk makes of it.

        Raises:
            VideoReadError: if it cannot be decoded.
        """
        sample = part.sample(index, number)
        inputs = self.model.data_preprocessor(pseudo_collate([sample]), False)['inputs']
        backbone = self.model.backbone
        with torch.no_grad(), part.precision():
            looked = backbone.look(images_of(backbone.looked_at(inputs.flatten(0, 1))))
        return Kept(sample['inputs'], tuple(x.cpu() for x in looked), part.trunk)

    def _measure(self, clips: list[Todo]) -> None:
        """Look at one that can be decoded, twice: a first time sets things up."""
        for clip in clips:
            try:
                self.look(*clip)
                start = time.perf_counter()
                kept = self.look(*clip)
            except VideoReadError:
                continue
            seconds = time.perf_counter() - start
            looked = kept.looked if self.keeping.exact else rounded(kept.looked)
            self.nbytes += len(clips) * sum(x.nbytes for x in (kept.inputs, *looked))
            self.seconds += len(clips) * seconds
            if clip[0].kind == 'train':
                with clip[0].precision():  # of these features, when they are judged too
                    self.training = self._expect(kept, seconds)
            return

    def _expect(self, kept: Kept, seconds: float) -> Estimate:
        """Of a training on such features, and the test, whose clips the trunk looks at."""
        sample = sample_of(kept, 0)
        tested = DATASETS.build(self.given.test_dataloader.dataset)
        counts = [*(len(part.dataset) for part in self.parts), len(tested)]
        expected = estimate_of(self.model, [sample], self.given, counts)
        views = clips_a_video(self.given.test_dataloader.dataset.pipeline)
        return replace(expected, seconds=expected.seconds + len(tested) * views * seconds)

    def __str__(self) -> str:
        where = self.keeping.folder
        if not self.todo:
            return f'features: all are there, in {where}'
        parts = ', '.join(f'{p.kind} {len(p.dataset)} videos x {p.copies}' for p in self.parts)
        kept = 'every bit' if self.keeping.exact else 'float32 as float16, 11 bits of 24'
        lines = [
            f'features of {len(self.todo)} clips ({parts}), {kept}: about {self.nbytes / 1e9:.2f} '
            f'GB and {span(self.seconds)}; {free_room(where) / 1e9:.1f} GB are free',
            f'  in {where}',
        ]
        return '\n'.join([*lines, *(self.training.lines() if self.training else [])])

    def fill(self) -> None:
        """Keep what is not there yet; what is kept stays if the process ends.

        Raises:
            OSError: no room.
        """
        free = free_room(self.keeping.folder)
        if self.nbytes * MARGIN > free:
            raise OSError(
                f'--cache-features: {self.nbytes / 1e9:.2f} GB do not fit the {free / 1e9:.2f} GB '
                f'that are free for {self.keeping.folder}. Give --cache-features a folder on '
                'another disk, fewer --feature-copies, or leave it out.'
            )
        with Progress('clips', len(self.todo)) as bar:
            for clip in self.todo:
                bar.done(self._keep(*clip))

    def _keep(self, part: Part, index: int, number: int) -> str:
        """Keep a clip, or why there is none; the path of its video."""
        file, path = part.file(index, number)
        try:
            keep(file, path, part.made, self.look(part, index, number), self.keeping.exact)
        except VideoReadError as error:
            if os.path.isfile(path):  # one that is gone has no size to be known by
                keep_reason(file, path, part.made, error.reason)
        return path

    def changes(self) -> dict[str, Any]:
        """Of the config, so that it trains and validates on what is kept."""
        changes: dict[str, Any] = dict(model=dict(type=RECOGNIZER))
        for part in self.parts:
            step = dict(
                type='mmstadapter.ReadFeatures',
                folder=str(part.folder.resolve()),
                made=digest_of(part.made),
                copies=part.copies,
            )
            changes[f'{part.kind}_dataloader'] = dict(dataset=dict(pipeline=[step]))
        return changes
