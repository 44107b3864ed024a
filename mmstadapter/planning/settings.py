"""The settings of a config that trade memory for time, each as somebody would type it."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from mmaction.registry import MODELS
from mmengine.config import Config

from ..models.recomputing import STEPS, chosen_step
from .step import TrainingStep

RECOMPUTE = 'model.backbone.recompute'
SMALL_PORTION = 8  # frames that a trunk takes at a time


class Setting(NamedTuple):
    """A setting in words, and the options that make it."""

    name: str
    options: dict[str, Any]


def changed(config: Config, options: dict[str, Any]) -> Config:
    """A copy of a config with dotted options merged in."""
    new = copy.deepcopy(config)
    new.merge_from_dict(options)
    return new


def settings_of(step: TrainingStep) -> Iterator[Setting]:
    """What can be set otherwise in a step's config."""
    backbone, trunk = step.config.model.backbone, step.config.model.backbone.trunk
    yield from other_steps(backbone)
    if step.autocast is None:
        yield Setting('--amp', {'optim_wrapper.type': 'mmstadapter.AmpOptimWrapper'})
    else:
        yield _plain('optim_wrapper.type', 'OptimWrapper')
    if trunk.get('tune', 'none') == 'none' and trunk.get('dtype') in (None, 'float32'):
        yield _plain('model.backbone.trunk.dtype', 'float16')
    if takes(trunk, 'quantize') and find_spec('torchao') and not trunk.get('lora'):
        for form in ('int8', 'nf4'):
            if trunk.get('quantize') != form and trunk.get('tune', 'none') != 'all':
                yield _plain('model.backbone.trunk.quantize', form)
    portion = backbone.get('frames_per_pass', 64)
    if takes(backbone, 'frames_per_pass') and (portion or step.frames) > SMALL_PORTION:
        yield _plain('model.backbone.frames_per_pass', SMALL_PORTION)
    yield from _in_parts(step)
    yield from _other_frames(step)


def other_steps(backbone: Mapping) -> Iterator[Setting]:
    """What else a backbone can compute again in the backward pass, the cheapest first."""
    if takes(backbone, 'recompute'):
        now = chosen_step(backbone.get('recompute'), backbone.get('with_cp'), 'recompute')
        for step in STEPS:
            if step != now:
                yield recomputing(backbone, step)
    elif takes(backbone, 'with_cp'):
        yield _plain('model.backbone.with_cp', not backbone.get('with_cp', False))


def recomputing(backbone: Mapping, step: str) -> Setting:
    """A step of ``recompute``; the old word, where the config has it, goes along."""
    setting = _plain(RECOMPUTE, step)
    if backbone.get('with_cp') is not None:
        setting.options['model.backbone.with_cp'] = None
    return setting


def _plain(name: str, value: Any) -> Setting:
    return Setting(f'{name}={value}', {name: value})


def takes(config: Mapping, name: str) -> bool:
    """Whether a class of the registry takes an argument."""
    kind = MODELS.get(config['type']) if isinstance(config['type'], str) else config['type']
    return name in inspect.signature(kind).parameters


def _in_parts(step: TrainingStep) -> Iterator[Setting]:
    """The same clips in two parts, or a retriever's in four, which keeps all its negatives."""
    if takes(step.config.model, 'micro_batch'):
        if step.config.model.get('micro_batch') is None and step.videos >= 4:
            yield _plain('model.micro_batch', step.videos // 4)
    elif step.videos % 2 == 0:
        batch, parts = step.videos // 2, 2 * step.parts
        yield Setting(
            f'batch_size={batch}, accumulative_counts={parts}',
            {
                'train_dataloader.batch_size': batch,
                'optim_wrapper.accumulative_counts': parts,
            },
        )


def _other_frames(step: TrainingStep) -> Iterator[Setting]:
    """Half and twice the frames, where the backbone can take so many."""
    steps = step.config.train_dataloader.dataset.get('pipeline', ())
    paths = [
        f'train_dataloader.dataset.pipeline.{i}.clip_len'
        for i, each in enumerate(steps)
        if 'clip_len' in each
    ]
    for name, part in (
        ('model', step.config.model),
        ('model.backbone', step.config.model.backbone),
    ):
        if part.get('num_frames') is not None:
            paths.append(f'{name}.num_frames')
    multiple = getattr(step.model.backbone, 'frame_step', 1)
    for frames in (step.frames // 2, 2 * step.frames):
        if paths and frames and frames % multiple == 0:
            yield Setting(f'{frames} frames a clip', dict.fromkeys(paths, frames))
