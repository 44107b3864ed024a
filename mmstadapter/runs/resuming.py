"""Which checkpoint a run goes on from, and whether it can."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from ..weights import require_numbers
from ..weights.containers import DamagedFile
from .reading import read_checkpoint

LAST = 'last_checkpoint'  # MMEngine's note of the newest checkpoint
LIKE_WEIGHTS = ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer')


def read_newest(runner: Runner, map_location: Any) -> tuple[str, dict] | None:
    """Path and content of the newest whole checkpoint of a run's folder, or None without any.

    Raises:
        DamagedFile: if there are some and none is whole.
    """
    reasons = []
    for path in find_checkpoints(runner):
        try:
            return str(path), read_checkpoint(str(path), map_location)
        except DamagedFile as error:
            print_log(f'{error} Looking for the one before it.', 'current', logging.WARNING)
            reasons.append(str(error))
    if not reasons:
        return None
    raise DamagedFile(
        'No checkpoint of this run is whole:\n  '
        + '\n  '.join(reasons)
        + '\nStart it anew without '
        '--resume, or put a whole one into its folder.'
    )


def find_checkpoints(runner: Runner) -> list[Path]:
    """A run's checkpoints, from the one to go on from backwards.

    First what was written after the note ``last_checkpoint`` (a kill may come between the two),
    then the one it names, then older ones. A folder that was moved is looked through as well
    as the one the note names.
    """
    note = Path(runner.work_dir) / LAST
    named = Path(note.read_text().strip()) if note.is_file() else Path()
    folders = dict.fromkeys([named.parent if named.name else Path(runner.work_dir)])
    folders |= dict.fromkeys([Path(runner.work_dir), *_out_dirs(runner)])
    found = {path: step for folder in folders for path, step in _numbered(runner, folder)}
    last = next((p for p in (folder / named.name for folder in folders) if p.is_file()), None)
    if not named.name or last is None:
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    step, written = found.get(last, -1), note.stat().st_mtime_ns
    later = [p for p, s in found.items() if s > step and p.stat().st_mtime_ns > written]
    earlier = [p for p, s in found.items() if s < step]
    backwards = [sorted(part, key=found.__getitem__, reverse=True) for part in (later, earlier)]
    return [*backwards[0], last, *backwards[1]]


def _numbered(runner: Runner, folder: Path) -> Iterator[tuple[Path, int]]:
    """The files named as the checkpoint hooks name them, with their epoch or iteration."""
    for hook in _checkpoint_hooks(runner):
        before, _, after = hook.filename_tmpl.partition('{}')
        for path in folder.glob('*'):
            number = re.fullmatch(re.escape(before) + r'(\d+)' + re.escape(after), path.name)
            if number and path.is_file():
                yield path, int(number[1])


def _out_dirs(runner: Runner) -> list[Path]:
    """Where checkpoint hooks put them if not into the work dir."""
    name = Path(runner.work_dir).name
    return [Path(h.out_dir) / name for h in _checkpoint_hooks(runner) if h.out_dir is not None]


def _checkpoint_hooks(runner: Runner) -> list[CheckpointHook]:
    return [hook for hook in runner._hooks if isinstance(hook, CheckpointHook)]


# ------------------------------------------------------------- whether it can


def require_resumable(
    runner: Runner,
    checkpoint: dict,
    filename: str,
    resume_optimizer: bool = True,
    resume_param_scheduler: bool = True,
) -> None:
    """Raise unless a checkpoint holds, beside weights, the whole state of a training like this.

    The optimiser's and the schedules' state are looked at if they are asked for.

    Raises:
        RuntimeError: with everything that is missing or does not fit.
        ValueError: if the state of the optimiser is not numbers.
    """
    problems = [
        *_progress(checkpoint),
        *(_optimizers(runner, checkpoint) if resume_optimizer else ()),
        *(_schedules(runner, checkpoint) if resume_param_scheduler else ()),
    ]
    _refuse(filename, problems)


def require_averages(runner: Runner, checkpoint: dict, filename: str) -> None:
    """Raise if averaged weights would be taken for weights, before EMAHook exchanges them.

    Raises:
        RuntimeError: if the run does not keep averages, or those are of other tensors.
    """
    _refuse(filename, list(_averages(runner, checkpoint)))


def _refuse(filename: str, problems: list[str]) -> None:
    if problems:
        raise RuntimeError(
            f'{filename} cannot be resumed from: {"; ".join(problems)}. Resume from a checkpoint '
            "of this config's own training (epoch_N.pth or iter_N.pth; best_*.pth and published "
            'files hold weights alone), or begin anew from its weights: load_from in the config, '
            'without --resume.'
        )


def _progress(checkpoint: dict) -> Iterator[str]:
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    for name in ('epoch', 'iter'):
        if not isinstance(meta.get(name), int) or meta[name] < 0:
            yield f'meta.{name} must say how far training had come, got {meta.get(name)!r}'
    if not isinstance(checkpoint.get('message_hub'), dict):
        yield 'its record of the training (message_hub) is missing'


def _optimizers(runner: Runner, checkpoint: dict) -> Iterator[str]:
    wrapper = runner.optim_wrapper
    saved = checkpoint.get('optimizer')
    if not isinstance(saved, Mapping):
        yield 'the state of the optimiser is missing'
    elif isinstance(wrapper, OptimWrapperDict):
        if saved.keys() != set(wrapper.keys()):
            yield f'it has optimisers {sorted(saved)}, this run {sorted(wrapper.keys())}'
        else:
            for name, one in wrapper.items():
                yield from _optimizer(one.optimizer, saved[name])
    else:
        yield from _optimizer(wrapper.optimizer, saved)
        kind = checkpoint.get('meta', {}).get('optimizer')
        if kind not in (None, type(wrapper.optimizer).__name__):
            yield f'it was trained with {kind}, this run has {type(wrapper.optimizer).__name__}'


def _optimizer(optimizer: Any, saved: Any) -> Iterator[str]:
    """What keeps one optimiser from taking a saved state."""
    groups = saved.get('param_groups') if isinstance(saved, Mapping) else None
    state = saved.get('state') if isinstance(saved, Mapping) else None
    if not isinstance(groups, list) or not isinstance(state, Mapping):
        yield 'the state of the optimiser is missing'
        return
    theirs = [len(group['params']) for group in groups]
    ours = [len(group['params']) for group in optimizer.param_groups]
    if theirs != ours:
        yield (
            f'its optimiser has {sum(theirs)} tensors in {len(theirs)} groups, this run '
            f'{sum(ours)} in {len(ours)}'
        )
        return
    if not state and any('betas' in group for group in optimizer.param_groups):
        yield 'the averages of the optimiser are missing'
    shapes = [p.shape for group in optimizer.param_groups for p in group['params']]
    places = [place for group in groups for place in group['params']]
    for place, shape in zip(places, shapes, strict=True):
        kept = {k: v for k, v in state.get(place, {}).items() if isinstance(v, Tensor)}
        require_numbers(kept, f"optimiser's state of tensor {place}")
        wrong = [k for k, v in kept.items() if k in LIKE_WEIGHTS and v.shape != shape]
        if wrong:
            yield (
                f'{wrong[0]} of tensor {place} has shape {tuple(kept[wrong[0]].shape)}, '
                f'the tensor here {tuple(shape)}'
            )
            return


def _schedules(runner: Runner, checkpoint: dict) -> Iterator[str]:
    own, saved = runner.param_schedulers, checkpoint.get('param_schedulers')
    if own is not None and _counts(saved) != _counts(own):
        yield f'it has {_counts(saved) or "no"} schedules, this run {_counts(own)}'


def _counts(schedules: Any) -> Any:
    """The number of schedules, by optimiser if there are several."""
    if isinstance(schedules, Mapping):
        return {name: _counts(own) for name, own in schedules.items()}
    return len(schedules) if isinstance(schedules, list) else 0


def _averages(runner: Runner, checkpoint: dict) -> Iterator[str]:
    """With averaged weights, MMEngine stores the averages in the place of the weights."""
    averages = checkpoint.get('ema_state_dict')
    if averages is None:
        return
    if not any(isinstance(hook, EMAHook) for hook in runner._hooks):
        yield (
            'its weights are running averages and this run keeps none: add the EMAHook that it '
            'was trained with'
        )
    names = {name.removeprefix('module.') for name in averages if name.startswith('module.')}
    if names != checkpoint['state_dict'].keys():
        differ = sorted(names ^ checkpoint['state_dict'].keys())
        yield f'averages and weights have other names, such as {differ[0]}'
