"""Learning rates of the released schedules, against ours."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from .. import shipped
from ..engine.warmup_cosine import WarmupCosineLR, warmup_cosine
from .case import Line

TOLERANCE = 1e-9  # relative
Table = dict[str, Any]


def line(name: str, ours: list[float], theirs: list[float]) -> Line:
    """The largest relative difference of two lists of rates; infinite if one is longer."""
    if len(ours) != len(theirs):
        return Line(f'{name}: {len(ours)} rates for {len(theirs)}', math.inf, 0.0)
    pairs = zip(ours, theirs, strict=True)
    worst = max(abs(a - b) / max(abs(b), 1e-12) for a, b in pairs)
    return Line(f'{name}: largest relative difference', worst, TOLERANCE)


def at_points(name: str, points: dict[str, float], rate: Callable[[float], float]) -> Line:
    """Rates at some steps or epochs."""
    return line(name, [rate(float(at)) for at in points], list(points.values()))


def st_adapter(name: str, t: Table) -> Iterator[Line]:
    """ST-Adapter: a warm-up from 0, then a cosine."""

    def factor(step: float) -> float:
        return warmup_cosine(step / t['steps_per_epoch'], t['warmup'], t['epochs'])

    yield at_points(name, t['step_to_factor'], factor)


def side4video(name: str, t: Table) -> Iterator[Line]:
    """Side4Video at 1e-3, 30 epochs, 4 of warm-up: the same, a new rate every tenth iteration."""
    yield at_points(f'{name}/at_epoch', t['at_epoch'], lambda e: 1e-3 * warmup_cosine(e, 4, 30))
    optimiser = any_optimiser(1e-3)
    schedule = WarmupCosineLR(optimiser, 4, 30 * 95, epoch_length=95, update_interval=10)
    theirs = t['trace_3_epochs_of_95_iterations']
    ours = []
    for _ in theirs:
        ours.append(optimiser.param_groups[0]['lr'])
        optimiser.step()
        schedule.step()
    yield line(f'{name}/at_construction', ours[:1], [t['at_construction']])
    yield line(f'{name}/trace', ours, theirs)


def evl(name: str, t: Table) -> Iterator[Line]:
    """EVL: a cosine without warm-up."""
    ours = [t['lr'] * warmup_cosine(i, 0, t['num_steps']) for i in range(t['num_steps'])]
    yield line(name, ours[: len(t['rate_of_step'])], t['rate_of_step'])


def dist(name: str, t: Table) -> Iterator[Line]:
    """DiST: a cosine whose first epochs rise to it in a line."""
    base = t['base_lr']

    def rate(epoch: float) -> float:
        start = t['warmup_start_lr'] / base
        return base * warmup_cosine(epoch, t['warmup'], t['epochs'], start, True)

    yield at_points(name, t['epoch_to_lr_before_mult'], rate)


def zeroi2v(name: str, t: Table) -> Iterator[Line]:
    """ZeroI2V: MMEngine's two schedulers at once, as its shipped recipe has them."""
    config = Config.fromfile(shipped.config('zeroi2v_vit-b_k400.py'))
    optimiser, length = any_optimiser(t['lr']), t['iterations_per_epoch']
    ours, schedules = [], []
    for settings in config.param_scheduler:
        given = dict(settings, end=settings.get('end', t['epochs']))  # as the runner fills it in
        kind = PARAM_SCHEDULERS.get(given.pop('type'))
        by_iteration = given.pop('convert_to_iter_based', False)
        build = kind.build_iter_from_epoch if by_iteration else kind
        given |= dict(epoch_length=length) if by_iteration else {}
        schedules.append((build(optimizer=optimiser, **given), 1 if by_iteration else length))
    for i in range(t['epochs'] * length):
        ours.append(optimiser.param_groups[0]['lr'])
        optimiser.step()
        for schedule, every in schedules:
            if (i + 1) % every == 0:
                schedule.step()
    yield line(f'{name}/iterations', ours[: len(t['rate_of_iteration'])], t['rate_of_iteration'])
    yield line(f'{name}/epochs', ours[::length], t['rate_of_epoch_start'])


def any_optimiser(lr: float) -> torch.optim.Optimizer:
    """One whose rate a scheduler can set."""
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


RATES: dict[str, Callable[[str, Any], Iterator[Line]]] = {
    'st_adapter_lr_factor': st_adapter,
    'side4video_lr_base1e-3_epochs30_warmup4': side4video,
    'evl_lr': evl,
    'dist_lr': dist,
    'zeroi2v_lr': zeroi2v,
}
