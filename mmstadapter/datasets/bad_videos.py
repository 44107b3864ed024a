"""Count and report the videos that could not be decoded, and stop when there are too many."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from .present import check_labels, check_present


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Collect the ``bad_videos`` that ``mmstadapter.VideoDataset`` notes on its samples.

    Warns once a video. After each epoch it logs the number over all processes (also as
    ``val/bad_videos`` and ``test/bad_videos``, beside the metrics) and writes this process's
    list to ``<work_dir>/bad_videos_<train|val|test>_rank<r>.json``.

    Args:
        max_bad: so many bad videos are always borne with.
        max_bad_fraction: and this share of the data set; the larger of both is the limit.

    Raises:
        FileNotFoundError: before the first is decoded, when the videos of a list are not there.
        RuntimeError: with the list, when more videos than that are bad; in one process right
            away, over all processes at the end of the epoch.
    """

    # Before LoggerHook (BELOW_NORMAL), which writes what this one counts.
    priority = 'NORMAL'

    def __init__(self, max_bad: int = 10, max_bad_fraction: float = 0.05) -> None:
        if max_bad < 0 or not 0 <= max_bad_fraction <= 1:
            raise ValueError(
                'BadVideoHook: max_bad must be at least 0 and max_bad_fraction in [0, 1], got '
                f'{max_bad} and {max_bad_fraction}.'
            )
        self.max_bad = max_bad
        self.max_bad_fraction = max_bad_fraction
        self.bad: dict[str, dict[str, str]] = {'train': {}, 'val': {}, 'test': {}}

    def before_train(self, runner: Runner) -> None:
        """Refuse lists whose videos are not there, that of validation included."""
        for mode in ('train', 'val') if runner.val_loop is not None else ('train',):
            _check(runner, mode)

    def before_val(self, runner: Runner) -> None:
        """Refuse a list whose videos are not there."""
        _check(runner, 'val')

    def before_test(self, runner: Runner) -> None:
        """Refuse a list whose videos are not there."""
        _check(runner, 'test')

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: Sequence | dict | None = None,
        mode: str = 'train',
    ) -> None:
        known = self.bad[mode]
        new = [(path, reason) for path, reason in _noted(data_batch) if path not in known]
        for path, reason in new:
            if path not in known:
                print_log(f'Bad video ({mode}): {path}: {reason}', 'current', logging.WARNING)
            known[path] = reason
        if new:
            self._stop_if_too_many(runner, mode, known)

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._report(runner, mode)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Report, beside the metrics."""
        self._report(runner, 'val', metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Report, beside the metrics."""
        self._report(runner, 'test', metrics)

    def _report(self, runner: Runner, mode: str, metrics: dict | None = None) -> None:
        everywhere: dict[str, str] = {}
        for part in all_gather_object(self.bad[mode]):
            everywhere.update(part)
        if mode != 'train':
            runner.message_hub.update_scalar(f'{mode}/bad_videos', len(everywhere))
            if metrics is not None:
                metrics['bad_videos'] = len(everywhere)
        if not everywhere:
            return
        self._write(runner, mode)
        total = len(_dataset(runner, mode))
        print_log(
            f'{len(everywhere)} of {total} {mode} videos could not be decoded so far; each was '
            + ('replaced by another.' if mode == 'train' else 'counted as wrong.'),
            'current',
            logging.WARNING,
        )
        self._stop_if_too_many(runner, mode, everywhere)

    def _stop_if_too_many(self, runner: Runner, mode: str, bad: dict[str, str]) -> None:
        limit = max(self.max_bad, self.max_bad_fraction * len(_dataset(runner, mode)))
        if len(bad) <= limit:
            return
        self._write(runner, mode)
        listed = '\n  '.join(f'{path}: {reason}' for path, reason in sorted(bad.items()))
        raise RuntimeError(
            f'BadVideoHook: {len(bad)} {mode} videos cannot be decoded, more than the '
            f'{int(limit)} allowed by max_bad={self.max_bad} and max_bad_fraction='
            f'{self.max_bad_fraction}. Repair or remove them, or raise the limit:\n  {listed}'
        )

    def _write(self, runner: Runner, mode: str) -> None:
        """Replace the file in one step, so that a reader never sees half of it."""
        path = Path(runner.work_dir) / f'bad_videos_{mode}_rank{get_rank()}.json'
        partial = path.with_suffix('.json.partial')
        partial.write_text(json.dumps(self.bad[mode], indent=2, sort_keys=True) + '\n')
        os.replace(partial, path)


def _noted(batch) -> Iterator[tuple[str, str]]:
    """(path, reason) of all samples of a batch, however it is nested."""
    if isinstance(batch, dict):
        yield from _noted(batch.get('data_samples'))
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from _noted(part)
    elif batch is not None:
        yield from getattr(batch, 'bad_videos', ())


def _check(runner: Runner, mode: str) -> None:
    """Refuse a loader that cannot be meant with this model, or whose videos are not there."""
    from ..checks.fitting_parts import unfitting_clips

    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    for sentence in unfitting_clips(model, runner.cfg, mode):
        raise ValueError(sentence)
    check_present(_dataset(runner, mode), f'{mode}_dataloader')
    check_labels(_dataset(runner, mode), model, f'{mode}_dataloader')


def _dataset(runner: Runner, mode: str):
    return getattr(runner, f'{mode}_loop').dataloader.dataset
