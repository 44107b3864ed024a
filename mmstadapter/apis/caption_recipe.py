"""A recipe for captioned videos of one's own, by their number, and the config that says it."""

import math
import shlex
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .caption_bases import CaptionBase
from .own_videos import Video
from .pipelines import clip_length
from .recipe import MAX_EPOCHS, MIN_EPOCHS, STEPS, TRAINING, Recipe, learning_rate, power_of_two
from .writing import Name, config_file

FEATURES = 'features.safetensors'  # of the test, in the work dir
SAMPLINGS = ('auto', 'segments', 'base')


def choose_recipe(
    videos: list[Video], base: Config, max_batch: int = 32, flip: bool = False, **given: Any
) -> Recipe:
    """Apply the rules of docs/search.md; what is given (and not None) is kept.

    Args:
        videos: the training videos.
        base: the config to inherit, for its clip length, learning rate and batch.
        max_batch: most pairs a step.
        flip: whether to mirror clips.
        given: ``batch_size``, ``epochs``, ``lr``, ``sampling``.

    Raises:
        ValueError: if a given value is impossible.
    """
    given = {key: value for key, value in given.items() if value is not None}
    count = len(videos)
    fewest = min(4, count)
    batch = given.get('batch_size', min(max_batch, max(fewest, power_of_two(count // 4))))
    if not 2 <= batch <= count:
        raise ValueError(
            f'mmstadapter fit: batch_size must be from 2, for contrast needs another video, to the '
            f'{count} videos to train on; got {batch}.'
        )
    steps = count // batch
    epochs = given.get('epochs', min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(STEPS / steps))))
    if epochs < 2:
        raise ValueError(
            'mmstadapter fit: epochs must be at least 2, the first is for warming up; '
            f'got {epochs}.'
        )
    sampling = given.get('sampling', 'auto')
    if sampling not in SAMPLINGS:
        raise ValueError(
            f'mmstadapter fit: sampling must be one of {SAMPLINGS} for captions, which are of a '
            f'whole video; got {sampling!r}.'
        )
    lr, why = learning_rate(base, batch)
    frames = clip_length(base)
    reasons = [
        f'{batch} pairs a step, {epochs} epochs: {epochs * steps} steps for {count} videos, a '
        'caption of each an epoch',
        f'learning rate {given["lr"]:g}: as given' if 'lr' in given else why,
        f'one frame of each of {frames} equal parts of a video'
        if sampling == 'segments'
        else f"{frames} frames of the whole video, as the inherited config's",
    ]
    sampling = 'base' if sampling == 'auto' else sampling
    return Recipe(batch, epochs, given.get('lr', lr), sampling, 1, 1, flip, reasons)


def config_text(
    recipe: Recipe,
    base: CaptionBase,
    root: Path,
    work_dir: Path,
    num_workers: int,
    options: list[str] | None = None,
    tested: str = 'val',
) -> str:
    """The text of a config that inherits a base and trains this recipe.

    Args:
        recipe: what to train with.
        base: the config to inherit, and the fields of its model to change.
        root: folder of the videos.
        work_dir: folder of ``train.json`` and ``val.json``; the training gets one in it.
        num_workers: data-loading processes.
        options: KEY=VALUE settings that training gets besides, for the header.
        tested: name of the list that is tested in the end.
    """
    train, test = (
        recipe.pipeline(base.config[f'{kind}_dataloader'].to_dict()['dataset']['pipeline'], is_test)
        for kind, is_test in (('train', False), ('test', True))
    )

    def loader(part: str, pipeline: str, **fields: Any) -> dict:
        dataset = dict(
            _delete_=True,
            type='mmstadapter.CaptionDataset',
            ann_file=str(work_dir / f'{part}.json'),
            data_prefix=dict(video=str(root)),
            pipeline=Name(pipeline),
            **fields.pop('dataset'),
        )
        return dict(
            batch_size=recipe.batch_size, num_workers=num_workers, dataset=dataset, **fields
        )

    # One caption of a video an epoch: captions of one video would be each other's negatives.
    training = dict(
        sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
        drop_last=True,
        dataset=dict(captions='random'),
    )
    metric = dict(_delete_=True, type='mmstadapter.TextVideoMetric')
    changes: dict[str, Any] = dict(
        work_dir=str(work_dir / TRAINING),
        train_dataloader=loader('train', 'train_pipeline', **training),
        val_dataloader=loader('val', 'test_pipeline', dataset=dict(test_mode=True)),
        test_dataloader=loader(tested, 'test_pipeline', dataset=dict(test_mode=True)),
        val_evaluator=metric,
        test_evaluator=metric | dict(save=str(work_dir / FEATURES)),
        **recipe.schedule(),
    )
    backbone = dict(trunk=base.trunk, recompute=recipe.recompute)
    parts = dict(backbone=_filled(backbone), text_tower=base.tower, similarity=base.similarity)
    if parts := _filled(parts):
        changes['model'] = parts
    if base.notes:
        changes['load_from'] = None
    first = dict(_base_=base.name, train_pipeline=train, test_pipeline=test)
    return config_file(_header(recipe, options), first, changes)


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}


def _header(recipe: Recipe, options: list[str] | None) -> list[str]:
    """Why the recipe is as it is, and how to train it."""
    extra = f' --cfg-options {shlex.join(options)}' if options else ''
    reasons = [f'{why[0].upper()}{why[1:]}.' for why in recipe.reasons]
    lines = ["Captioned videos of one's own, written by `mmstadapter fit`.", '', *reasons]
    return [*lines, '', f'    mmstadapter train recipe.py{extra}']
