"""MMEngine's checkpoint hook keeps what is there until what replaces it is written whole."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ..weights.saving import written_whole
from .resuming import LAST

VALIDATED = 'validated_at'  # epoch (iteration in runs by iterations) of the last whole validation
OUTDATED = 'outdated'  # files that go once the checkpoint which says so is written
LEFT_OVER = re.compile(r'.+\.[0-9a-f]{32}\.part')  # what `written_whole` leaves when killed


def put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
    """Write bytes to a file, which is the old one or the new one at any moment."""
    with written_whole(filepath, len(obj)) as part:
        part.write_bytes(obj)


def put_text(self: LocalBackend, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
    """Write text to a file, likewise."""
    self.put(obj.encode(encoding), filepath)


class LateRemoval:
    """A file backend that removes nothing before it is told to."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.waiting: list[tuple[Callable, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.waiting.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.waiting.append((self.backend.rmtree, path))

    def finish(self, keep: set) -> None:
        """Remove now, except what was written again meanwhile."""
        for remove, path in self.waiting:
            if path not in keep:
                remove(path)


def save_checkpoint_with_step(self: CheckpointHook, runner: Runner, step: int, meta: dict) -> None:
    """Write a checkpoint, then the note that names it, then remove the one too many."""
    outdated = []
    if self.max_keep_ckpts > 0 and not (self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step):
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            outdated = [self.filename_tmpl.format(self.keep_ckpt_ids.popleft())]
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
    name = self.filename_tmpl.format(step)
    self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
    runner.message_hub.update_info('last_ckpt', self.last_ckpt)
    best = [Path(path).name for _, path in getattr(self.file_backend, 'waiting', ())]
    runner.message_hub.update_info(OUTDATED, [*outdated, *best])  # in case of a kill before they go
    if isinstance(runner.optim_wrapper, OptimWrapper):
        meta = meta | dict(optimizer=type(runner.optim_wrapper.optimizer).__name__)
    runner.save_checkpoint(
        self.out_dir,
        name,
        self.file_client_args,
        save_optimizer=self.save_optimizer,
        save_param_scheduler=self.save_param_scheduler,
        meta=meta,
        by_epoch=self.by_epoch,
        backend_args=self.backend_args,
        **self.args,
    )
    vars(self)['saved_at'] = step, runner.message_hub.runtime_info.get(VALIDATED)
    if not is_main_process():
        return
    LocalBackend().put_text(self.last_ckpt, Path(runner.work_dir) / LAST)
    for old in outdated:
        _remove(self.file_backend, self.file_backend.join_path(self.out_dir, old))


def _remove(backend: Any, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):  # DeepSpeed's checkpoints are folders
        backend.rmtree(path)


def before_train(self: CheckpointHook, runner: Runner) -> None:
    """Begin as MMEngine does; make up for a validation that a kill ended."""
    hosts.before_train(self, runner)
    if is_main_process():
        _clean(self, runner)
    if validation_is_due(runner):
        runner.logger.info(
            f'The run that is resumed did not finish its validation after epoch {runner.epoch}, '
            f'iteration {runner.iter}: validating first.'
        )
        self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')
        vars(self)['saved_at'] = runner.epoch if self.by_epoch else runner.iter, None
        runner.val_loop.run()


def _clean(hook: CheckpointHook, runner: Runner) -> None:
    """Remove what a killed run had no time to: half-written files, and those it had replaced."""
    for folder in {Path(runner.work_dir), Path(hook.out_dir)}:
        for path in folder.glob('*.part'):
            if LEFT_OVER.fullmatch(path.name):
                path.unlink(missing_ok=True)
    known = runner.message_hub.runtime_info
    used = {Path(str(path)).name for key, path in known.items() if '_ckpt' in key}
    for name in known.get(OUTDATED, ()):
        if name not in used:
            _remove(hook.file_backend, hook.file_backend.join_path(hook.out_dir, name))


def validation_is_due(runner: Runner) -> bool:
    """Whether a resumed run stopped between a checkpoint and the end of its validation."""
    loop = runner.train_loop
    known = isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop)
    if not known or runner.iter == 0 or runner.val_loop is None:
        return False
    now = _validated_now(runner)
    if now == 0 or runner.message_hub.runtime_info.get(VALIDATED) == now:
        return False
    loop._decide_current_val_interval()
    last = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else loop.max_iters
    return now >= loop.val_begin and (now % loop.val_interval == 0 or now == last)


def _validated_now(runner: Runner) -> int:
    return runner.epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else runner.iter


def after_val_epoch(self: CheckpointHook, runner: Runner, metrics: dict) -> None:
    """Keep the best as MMEngine does; note in the newest checkpoint that it was validated."""
    if not hasattr(self, 'file_backend'):  # Runner.val: nothing is trained
        return
    runner.message_hub.update_info(VALIDATED, _validated_now(runner))
    backend = self.file_backend = LateRemoval(self.file_backend)
    try:
        hosts.after_val_epoch(self, runner, metrics)
    finally:
        self.file_backend = backend.backend
    written = [getattr(self, 'best_ckpt_path', None), self.last_ckpt]
    backend.finish({*written, *getattr(self, 'best_ckpt_path_dict', {}).values()})
    step = runner.epoch if self.by_epoch else runner.iter
    saved_at, validated = vars(self).get('saved_at', (None, None))
    if saved_at == step and validated != _validated_now(runner):  # no new best score had it written
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_checkpoint_with_step(runner, step, meta)


class hosts:
    """MMEngine's own methods."""

    before_train = CheckpointHook.before_train
    after_val_epoch = CheckpointHook.after_val_epoch
