"""Lengths of warm-ups against that of the training, and the learning rate against the batch."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import get_world_size

from .fields import Names
from .keys import Walk

SHARE = 6  # a warm-up that is shortened gets a sixth, as the released ST-Adapter scripts have it


def fit_warmups(cfg: Mapping, names: Names) -> Iterator[tuple[bool, str]]:
    """Shorten warm-ups that a shorter training has no room for, in ``cfg``.

    A recipe's warm-up is shortened where the length of the training was set nearer to the run
    than the schedule: by name, or in a config that inherits the schedule. One that was written
    together with the length, or for it, is a mistake.

    Yields:
        Whether it is a mistake, and a sentence about it.
    """
    own = cfg.get('param_scheduler')
    schedules = own if isinstance(own, list | tuple) else [own]
    walk = Walk(cfg.get('default_scope') or 'mmengine')
    for i, schedule in enumerate(schedules):
        kind = walk.find(schedule.get('type'), 'PARAM_SCHEDULERS') if schedule else None
        length = _length(cfg, schedule) if kind is not None else None
        field = 'warmup' if hasattr(kind, 'position') else 'end'
        warmup = schedule.get(field) if length is not None else None
        if field == 'end' and (not getattr(kind, '__name__', '').startswith('Linear') or i):
            continue  # the host's schedules may end where they like
        if not isinstance(warmup, int | float) or warmup < length + (field == 'end'):
            continue
        path = 'param_scheduler' + f'.{i}' * isinstance(own, list | tuple)
        if _was_shortened(names):
            yield False, _shorten(schedule, path, field, length)
        else:
            yield (
                True,
                (
                    f'{path}.{field}: a warm-up must be shorter than the training of {length}, got '
                    f'{warmup}. Lower it, or train longer.'
                ),
            )


def _shorten(schedule: Any, path: str, field: str, length: int) -> str:
    old = schedule[field]
    if field == 'end':
        return f'{path}: it warms up until {old}, longer than the training of {length}.'
    schedule[field] = length / SHARE
    return (
        f'{path}.warmup: {old} is no shorter than the training of {length}; shortened to '
        f'{schedule[field]:.3g}, a sixth of it.'
    )


def _was_shortened(names: Names) -> bool:
    """Whether the length was set nearer to the run than the schedule."""
    length = names.depth('train_cfg', 'max_epochs', 'max_steps', 'max_iters')
    schedule = names.depth('param_scheduler')
    return length is not None and schedule is not None and length < schedule


def _length(cfg: Mapping, schedule: Mapping) -> int | None:
    """Length of the training in the unit of a schedule's settings, None where not known yet."""
    loop = cfg.get('train_cfg') or {}
    by_default = schedule.get('convert_to_iter_based', 'warmup' not in schedule)
    in_epochs = schedule.get('by_epoch', by_default)
    length = loop.get('max_epochs') if in_epochs else loop.get('max_steps', loop.get('max_iters'))
    end = schedule.get('end') if 'warmup' in schedule else None
    known = [n for n in (length, end) if isinstance(n, int)]
    return min(known) - schedule.get('begin', 0) if known else None


def batch_note(cfg: Mapping, names: Names) -> str:
    """A sentence where the batch is not the one that the learning rate is meant for, else ''.

    A rate that was set nearer to the run than the batch it is meant for is somebody's choice.
    """
    rate, base = names.depth('optim_wrapper', 'lr'), names.depth('auto_scale_lr')
    if rate is not None and base is not None and rate < base:
        return ''
    scaling, wrapper = cfg.get('auto_scale_lr') or {}, cfg.get('optim_wrapper') or {}
    meant, lr = scaling.get('base_batch_size'), (wrapper.get('optimizer') or {}).get('lr')
    size = _loader(cfg).get('batch_size')
    if not meant or not size or not lr or scaling.get('enable'):
        return ''
    parts = wrapper.get('accumulative_counts', 1)
    batch = size * get_world_size() * parts
    if batch == meant:
        return ''
    ratio = batch / meant
    by_option = ' (--auto-scale-lr)' if parts == 1 else ''
    return (
        f'A step has {batch} items ({size} x {get_world_size()} processes'
        f'{f" x {parts} batches" if parts > 1 else ""}), and the learning rate {lr:g} is meant for '
        f'{meant} (auto_scale_lr.base_batch_size). In proportion it would be {lr * ratio:.2g}'
        f'{by_option}, by the square root, as suits Adam, {lr * math.sqrt(ratio):.2g} '
        '(optim_wrapper.optimizer.lr).'
    )


def _loader(cfg: Mapping) -> Mapping:
    loader = cfg.get('train_dataloader')
    return loader if isinstance(loader, Mapping) else {}
