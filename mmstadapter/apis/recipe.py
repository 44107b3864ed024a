"""A recipe for a data set of one's own, by its size, and the config that says it."""

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config

from ..config_fields import RESIZING
from ..datasets.files import DELIMITER
from .own_videos import Video
from .pipelines import clip_length, clips_a_video, kind_of, samples_frames
from .writing import Name, config_file

TRAINING = 'training'  # folder of logs and checkpoints in the work dir
SAMPLINGS = ('auto', 'stride', 'segments', 'base')
STEPS, MIN_EPOCHS, MAX_EPOCHS = 800, 12, 50
SHORT = 5.0  # seconds; videos of up to this are seen whole
CLIP_SECONDS = 16 * 8 / 30  # Kinetics: 8 frames, 16 apart, at 30 a second


@dataclass
class Recipe:
    """How to train on a number of videos.

    Attributes:
        batch_size: clips a step.
        epochs: passes over the training videos.
        lr: peak learning rate.
        sampling: 'segments' (a frame of each eighth of the video), 'stride' (frames at a
            fixed distance) or 'base' (as the inherited config has it).
        frame_interval: distance of frames with 'stride'.
        views: clips a video in testing.
        flip: whether training mirrors clips.
        reasons: a sentence for each choice.
        recompute: what the backward pass computes again, for want of memory; None: as the base.
    """

    batch_size: int
    epochs: int
    lr: float
    sampling: str
    frame_interval: int
    views: int
    flip: bool
    reasons: list[str]
    recompute: str | None = None

    @classmethod
    def choose(
        cls,
        videos: list[Video],
        labels: list[str],
        base: Config,
        max_batch: int = 32,
        mirror: tuple[bool, str] | None = None,
        **given: Any,
    ) -> 'Recipe':
        """Apply the rules of docs/own_videos.md; what is given (and not None) is kept.

        Args:
            videos: the training videos with their lengths.
            labels: names of the classes.
            base: the config to inherit, for its clip length, learning rate and batch.
            max_batch: most clips a step.
            mirror: whether to mirror clips, and why; by the classes' names alone if None.
            given: ``batch_size``, ``epochs``, ``lr``, ``sampling``.

        Raises:
            ValueError: if a given value is impossible.
        """
        given = {key: value for key, value in given.items() if value is not None}
        count = len(videos)
        batch = given.get('batch_size', min(max_batch, max(4, power_of_two(count // 16))))
        steps = math.ceil(count / max(batch, 1))
        epochs = given.get('epochs', min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(STEPS / steps))))
        if batch < 1 or epochs < 2:
            raise ValueError(
                'Recipe: batch_size must be at least 1 and epochs at least 2, the first is for '
                f'warming up; got {batch} and {epochs}.'
            )
        lr, why = learning_rate(base, batch)
        reasons = [
            f'{batch} clips a step, {epochs} epochs: {epochs * steps} steps for {count} videos',
            f'learning rate {given["lr"]:g}: as given' if 'lr' in given else why,
        ]
        sampling, interval, views, why = _sampling(videos, base, given.get('sampling', 'auto'))
        flip, said = mirror or (not (sided := names_a_side(labels)), sided)
        lr = given.get('lr', lr)
        reasons += [why, *([said] if said else [])]
        return cls(batch, epochs, lr, sampling, interval, views, flip, reasons)

    def pipeline(self, steps: list[dict], test_mode: bool) -> list[dict]:
        """The inherited pipeline with this recipe's sampling and mirroring."""
        new = []
        adds_flip = self.flip and not test_mode and 'Flip' not in map(kind_of, steps)
        for step in steps:
            kind = kind_of(step)
            if kind == 'Flip' and not self.flip:
                continue
            if kind == 'FormatShape' and adds_flip:
                new.append(dict(type='Flip', flip_ratio=0.5))
            if samples_frames(step) and self.sampling != 'base':
                step = self._sampler(step['clip_len'], test_mode)
            if kind in RESIZING:
                step = dict(pixels='uint8') | step
            # A flip_label_map of the base would exchange labels that are classes of its own.
            new.append({key: value for key, value in step.items() if key != 'flip_label_map'})
        return new

    def schedule(self) -> dict[str, Any]:
        """The fields of a config that say how long it trains, and at which rate."""
        scheduler = dict(
            type='mmstadapter.WarmupCosineLR',
            warmup=max(1, round(self.epochs / 6)),
            by_epoch=True,
            convert_to_iter_based=True,
        )
        return dict(
            train_cfg=dict(
                _delete_=True,
                type='EpochBasedTrainLoop',
                max_epochs=self.epochs,
                val_interval=max(1, self.epochs // 5),
            ),
            optim_wrapper=dict(optimizer=dict(lr=self.lr)),
            param_scheduler=[scheduler],
            auto_scale_lr=dict(base_batch_size=self.batch_size),
            default_hooks=dict(logger=dict(interval=10)),
        )

    def _sampler(self, clip_len: int, test_mode: bool) -> dict:
        step: dict[str, Any] = dict(type='mmstadapter.SampleSegments', clip_len=clip_len)
        if self.sampling == 'stride':
            step.update(type='mmstadapter.SampleStride', frame_interval=self.frame_interval)
            if test_mode:
                step['num_views'] = self.views
        return step | (dict(test_mode=True) if test_mode else {})


def names_a_side(labels: list[str]) -> str:
    """Why classes cannot be mirrored by their names; empty where these say nothing."""
    sided = [name for name in labels if re.search(r'(?i)(?<![a-z])(left|right)(?![a-z])', name)]
    return f'no mirroring: {sided[0]!r} would become another class' if sided else ''


def power_of_two(number: int) -> int:
    """The largest power of two up to a number, at least 1."""
    return 1 << max(number, 1).bit_length() - 1


def learning_rate(base: Config, batch: int) -> tuple[float, str]:
    """The base's rate times the square root of the batches' ratio, as suits Adam's steps."""
    lr = base.optim_wrapper.optimizer.lr
    full = base.get('auto_scale_lr', {}).get('base_batch_size', batch)
    scaled = float(f'{lr * math.sqrt(batch / full):.2g}')
    return scaled, f'learning rate {scaled:g}: {lr:g} for {full} clips, by the square root'


def _sampling(videos: list[Video], base: Config, wanted: str) -> tuple[str, int, int, str]:
    """Sampling, frame interval, views, and why."""
    if wanted not in SAMPLINGS:
        raise ValueError(f'Recipe: sampling must be one of {SAMPLINGS}, got {wanted!r}.')
    fps = median(video.fps or 25.0 for video in videos)
    seconds = median(video.frames / (video.fps or 25.0) for video in videos)
    chosen = wanted
    if wanted == 'auto':
        chosen = 'segments' if seconds <= SHORT else 'stride'
    said = f'videos of {seconds:.1f} s (median)'
    if chosen == 'base':
        return chosen, 1, 1, "frames sampled as the inherited config's"
    frames = clip_length(base)
    if chosen == 'segments':
        return chosen, 1, 1, f'{said}: one frame of each of {frames} equal parts'
    interval = max(1, round(CLIP_SECONDS * fps / frames))
    views = min(10, max(1, math.ceil(seconds / CLIP_SECONDS)))
    return chosen, interval, views, f'{said}: frames {interval} apart, {views} clips in testing'


def config_text(
    recipe: Recipe,
    base_name: str,
    base: Config,
    trunk: dict,
    root: Path,
    work_dir: Path,
    labels: list[str],
    num_workers: int,
    options: list[str] | None = None,
    head: dict | None = None,
    tested: str = 'val',
    from_scratch: bool = False,
) -> str:
    """The text of a config that inherits ``base_name`` and trains this recipe.

    Args:
        recipe: what to train with.
        base_name: name or path of the inherited config.
        base: that config, read.
        trunk: fields of ``model.backbone.trunk`` to change.
        root: folder of the videos.
        work_dir: folder of ``train.txt`` and ``val.txt``; the training gets one in it.
        labels: names of the classes.
        num_workers: data-loading processes.
        options: KEY=VALUE settings that training gets besides, for the header.
        head: fields of ``model.cls_head`` to change.
        tested: name of the list that is tested in the end.
        from_scratch: leave out the base's ``load_from``.
    """
    train, test = (
        recipe.pipeline(base[f'{kind}_dataloader'].to_dict()['dataset']['pipeline'], kind == 'test')
        for kind in ('train', 'test')
    )
    topk = (1, 5) if len(labels) > 5 else (1,)
    val_batch = max(1, recipe.batch_size // clips_a_video(test))

    def loader(part: str, batch_size: int, pipeline: str, **options: Any) -> dict:
        dataset = dict(
            _delete_=True,
            type='mmstadapter.VideoDataset',
            ann_file=str(work_dir / f'{part}.txt'),
            data_prefix=dict(video=str(root)),
            delimiter=DELIMITER,
            num_classes=len(labels),
            pipeline=Name(pipeline),
            **options,
        )
        return dict(batch_size=batch_size, num_workers=num_workers, dataset=dataset)

    changes: dict[str, Any] = dict(
        work_dir=str(work_dir / TRAINING),
        model=dict(cls_head=dict(num_classes=len(labels), topk=topk) | (head or {})),
        train_dataloader=loader('train', recipe.batch_size, 'train_pipeline'),
        val_dataloader=loader('val', val_batch, 'test_pipeline', test_mode=True),
        test_dataloader=loader(tested, val_batch, 'test_pipeline', test_mode=True),
        **recipe.schedule(),
    )
    for part in ('val_evaluator', 'test_evaluator'):
        changes[part] = dict(metric_options=dict(top_k_accuracy=dict(topk=topk)))
    if 'labels' in base.model.cls_head:  # which reads the classes' names
        changes['model']['cls_head']['labels'] = labels
    blending = (base.model.get('data_preprocessor') or {}).get('blending')
    if blending:
        mixed = _for_classes(blending.to_dict(), len(labels))
        changes['model']['data_preprocessor'] = dict(blending=mixed)
    backbone = dict(trunk=trunk, recompute=recipe.recompute)
    if backbone := {key: value for key, value in backbone.items() if value}:
        changes['model']['backbone'] = backbone
    if from_scratch:
        changes['load_from'] = None
    first = dict(_base_=base_name, train_pipeline=train, test_pipeline=test)
    return config_file(_header(recipe, len(labels), options), first, changes)


def _for_classes(setting: Any, number: int) -> Any:
    """Blending of clips whose labels have so many classes, one kind or several."""
    if isinstance(setting, list | tuple):
        return [_for_classes(part, number) for part in setting]
    if not isinstance(setting, dict):
        return setting
    inner = {key: _for_classes(value, number) for key, value in setting.items()}
    return inner | dict(num_classes=number) if 'num_classes' in setting else inner


def _header(recipe: Recipe, num_classes: int, options: list[str] | None) -> list[str]:
    """Why the recipe is as it is, and how to train it."""
    extra = f' --cfg-options {shlex.join(options)}' if options else ''
    reasons = [f'{why[0].upper()}{why[1:]}.' for why in recipe.reasons]
    lines = [f"{num_classes} classes of one's own, written by `mmstadapter fit`.", '', *reasons]
    return [*lines, '', f'    mmstadapter train recipe.py{extra}']
