"""Values that cannot be meant: each rule says where it holds and what is needed there."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .fields import walk_through
from .keys import ACCURACIES


@dataclass(frozen=True)
class Rule:
    """What values of some settings must be.

    Attributes:
        paths: patterns of dotted names.
        fits: whether a value is possible.
        need: what is needed, in words.
        advice: what to do.
    """

    paths: tuple[str, ...]
    fits: Callable[[Any], bool]
    need: str
    advice: str


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _at_least_0(value: Any) -> bool:
    return _number(value) and value >= 0


def _below_1(value: Any) -> bool:
    return _number(value) and 0 <= value < 1


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


OPTIMIZER = 'optim_wrapper.optimizer'
CLIPPING = 'optim_wrapper.clip_grad'
GROUPS = 'optim_wrapper.paramwise_cfg'
RULES = (
    Rule(
        ('*_dataloader.batch_size', 'auto_scale_lr.base_batch_size'),
        _whole,
        'a whole number of at least 1',
        'It is the number of items a step and a process.',
    ),
    Rule(
        ('memory',),
        lambda value: value is None or value == 'auto' or _positive(value),
        "'auto', or GB above 0",
        'The run then recomputes as little in the backward pass as fits; None leaves it to '
        'model.backbone.recompute.',
    ),
    Rule(
        ('*_dataloader.num_workers',),
        lambda value: _whole(value, 0),
        'a whole number of at least 0',
        '0 loads in the training process itself.',
    ),
    Rule(
        ('train_cfg.max_epochs', 'train_cfg.max_iters', 'train_cfg.max_steps'),
        _whole,
        'a whole number of at least 1',
        'Use `mmstadapter test` to look at a model without training it.',
    ),
    Rule(
        ('train_cfg.val_interval',),
        _whole,
        'a whole number of at least 1',
        'For no validation set val_cfg, val_dataloader and val_evaluator to None (--no-validate).',
    ),
    Rule(
        ('train_cfg.val_begin',),
        lambda value: _whole(value, 0),
        'a whole number of at least 0',
        'It is the first epoch after which may be validated.',
    ),
    Rule(
        ('optim_wrapper.accumulative_counts',),
        _whole,
        'a whole number of at least 1',
        '1 takes a step after every batch.',
    ),
    Rule(
        (f'{CLIPPING}.max_norm', f'{CLIPPING}.clip_value', f'{CLIPPING}.norm_type'),
        _positive,
        'a number above 0',
        'A negative norm turns every gradient round, 0 stops training. Set clip_grad=None for no '
        'clipping.',
    ),
    Rule(
        (f'{OPTIMIZER}.max_grad_norm',),
        lambda value: value is None or _positive(value),
        'a number above 0, or None for no clipping',
        'The released recipes have 1.0.',
    ),
    Rule(
        (f'{OPTIMIZER}.lr', f'{OPTIMIZER}.weight_decay', f'{OPTIMIZER}.eps'),
        _at_least_0,
        'a number of at least 0',
        'A negative one climbs the loss or lets weights grow.',
    ),
    Rule(
        (f'{OPTIMIZER}.betas.*', f'{OPTIMIZER}.momentum', f'{OPTIMIZER}.alpha'),
        _below_1,
        'a number from 0 to below 1',
        "AdamW's usual betas are (0.9, 0.999).",
    ),
    Rule(
        (f'{GROUPS}.*_mult', f'{GROUPS}.lr_mult.*', f'{GROUPS}.custom_keys.*_mult'),
        _at_least_0,
        'a number of at least 0',
        'It multiplies the learning rate or the weight decay.',
    ),
    Rule(
        ('optim_wrapper.loss_scale',),
        lambda value: value == 'dynamic' or _positive(value),
        "'dynamic', a number above 0, or arguments of torch's GradScaler",
        "Leave it at 'dynamic'.",
    ),
    Rule(
        ('model.*label_smooth_eps',),
        _below_1,
        'a number from 0 to below 1',
        'It is the share of the target that all classes divide; Side4Video has 0.1. From 1 on the '
        "video's own class is no target any more.",
    ),
    Rule(
        ('model.*.num_classes', 'model.*.in_channels', '*_dataloader.dataset.num_classes'),
        lambda value: value is None or _whole(value),
        'a whole number of at least 1',
        'Count what the annotation file numbers from 0.',
    ),
    Rule(
        tuple(
            f'model.*{name}'
            for name in ('img_size', 'patch_size', 'embed_dims', 'num_layers', 'num_heads')
        ),
        lambda value: value is None or _whole(value),
        'a whole number of at least 1',
        'Named archs have sizes that fit together.',
    ),
    Rule(
        ('model.data_preprocessor.std.*', 'data_preprocessor.std.*'),
        _positive,
        'a number above 0',
        'Pixels are divided by it; CLIP has (68.5, 66.6, 70.3).',
    ),
    Rule(
        ('model.*.topk', 'model.*.topk.*', '*_evaluator*.topk', '*_evaluator*.topk.*'),
        _whole,
        'whole numbers of at least 1',
        '(1, 5) reports top-1 and top-5.',
    ),
    Rule(
        ('model.*.average_clips',),
        lambda value: value in (None, 'prob', 'score'),
        "'prob', 'score' or None",
        "'prob' averages the softmax of a video's views, as the released code does.",
    ),
    Rule(
        tuple(
            f'*.pipeline.*.{name}'
            for name in ('clip_len', 'frame_interval', 'num_clips', 'num_views', 'num_crops')
        ),
        lambda value: value is None or _whole(value),
        'a whole number of at least 1',
        'It counts frames, views or crops.',
    ),
    Rule(
        ('*.pipeline.*.flip_ratio',),
        _share,
        'a number from 0 to 1',
        'It is the share of clips that are mirrored.',
    ),
    Rule(
        ('*_hooks.*.interval',),
        lambda value: value == -1 or _whole(value),
        'a whole number of at least 1, or -1 for never',
        'It counts epochs, or iterations with by_epoch=False.',
    ),
    Rule(
        ('*_hooks.*.rule',),
        lambda value: value in (None, 'greater', 'less'),
        "'greater', 'less' or None",
        'It says which way save_best or monitor is better.',
    ),
    Rule(
        ('*_evaluator*.metric_list', '*_evaluator*.metric_list.*'),
        lambda value: value in ACCURACIES,
        f'one of {sorted(ACCURACIES)}, or several',
        'They are what AccMetric knows.',
    ),
    Rule(
        ('env_cfg.mp_cfg.mp_start_method',),
        lambda value: value in ('fork', 'spawn', 'forkserver'),
        "'fork', 'spawn' or 'forkserver'",
        "Linux usually has 'fork'.",
    ),
    Rule(
        ('param_scheduler.*warmup', 'param_scheduler.*begin'),
        _at_least_0,
        'a number of at least 0',
        'It counts epochs with by_epoch=True, else iterations.',
    ),
    Rule(
        ('randomness.seed',),
        lambda value: value is None or (_whole(value, 0) and value < 2**32),
        'a whole number from 0 to 2^32 - 1, or None for any',
        'The same seed gives the same training.',
    ),
)


def impossible_values(cfg: Mapping) -> Iterator[str]:
    """A sentence for each value that cannot be meant."""
    for path, value in walk_through({key: cfg[key] for key in cfg}):
        if _is_drop_rate(path, value) and not _below_1(value):
            yield (
                f'{path}: must be a number from 0 to below 1, got {value!r}. It is the share that '
                'is dropped in training; 0 drops nothing.'
            )
        if isinstance(value, Mapping | list | tuple):
            continue
        for rule in RULES:
            if any(fnmatchcase(path, pattern) for pattern in rule.paths) and not rule.fits(value):
                yield f'{path}: must be {rule.need}, got {value!r}. {rule.advice}'
    yield from _clipping(cfg)
    yield from _first_validation(cfg)
    yield from _channels(cfg)


def _is_drop_rate(path: str, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return path.startswith('model.') and is_number and 'drop' in path.rpartition('.')[2]


def _clipping(cfg: Mapping) -> Iterator[str]:
    """Clipping that names no bound, which the first step would find out."""
    clipping = (cfg.get('optim_wrapper') or {}).get('clip_grad')
    if not isinstance(clipping, Mapping):
        return
    bounds = dict(norm='max_norm', value='clip_value')
    kind = clipping.get('type', 'norm')
    if kind not in bounds:
        yield f"{CLIPPING}.type: must be 'norm' or 'value', got {kind!r}."
    elif bounds[kind] not in clipping:
        yield f'{CLIPPING}: needs {bounds[kind]}, got {dict(clipping)}. None clips nothing.'


def _first_validation(cfg: Mapping) -> Iterator[str]:
    """A validation that would begin after the end."""
    loop = cfg.get('train_cfg') or {}
    first, last = loop.get('val_begin'), loop.get('max_epochs', loop.get('max_iters'))
    if cfg.get('val_cfg') is not None and _whole(first) and _whole(last) and first > last:
        yield (
            f'train_cfg.val_begin: must be at most the length of the training, {last}, got '
            f'{first}. Nothing would be validated.'
        )


def _channels(cfg: Mapping) -> Iterator[str]:
    """A mean and a deviation that are not one, or one a colour."""
    colours = (cfg.get('model') or {}).get('data_preprocessor')
    given = colours if isinstance(colours, Mapping) else {}
    for key in ('mean', 'std'):
        value = given.get(key)
        if isinstance(value, list | tuple) and len(value) not in (1, 3):
            yield (
                f'model.data_preprocessor.{key}: must have 1 or 3 numbers, one a colour, got '
                f'{list(value)}.'
            )
