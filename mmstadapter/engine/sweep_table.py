"""The table of a sweep: what each branch is, learns at, tunes and reaches."""

from collections.abc import Mapping
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..printing import in_columns

HEAD = ('run', 'lr', 'weight decay', 'width', 'tuned parameters', 'top-1', '')
CHOSEN, BEST = 'best, chosen on validation', 'best on these videos'


@HOOKS.register_module()
class SweepTableHook(Hook):
    """Print a sweep's table after training, with its last validation, and after a test.

    Args:
        key: the result that is shown, of each run.
    """

    def __init__(self, key: str = 'acc/top1') -> None:
        self.key = key
        self.metrics: Mapping[str, Any] = {}

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the figures."""
        self.metrics = metrics or {}

    def after_train(self, runner: Runner) -> None:
        """Print those of the last validation."""
        self._show(runner, CHOSEN)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Print those of the test."""
        self.metrics = metrics or {}
        self._show(runner, BEST)

    def _show(self, runner: Runner, mark: str) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        optimizer = (runner.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
        rows = table(model, self.metrics, optimizer, self.key, mark)
        if any(row[-2] for row in rows):
            text = in_columns([list(HEAD), *rows], 'lrrrrrl')
            print_log(f'{len(rows)} runs on one pass of the trunk:\n{text}', 'current')


def table(
    model: Any,
    metrics: Mapping[str, float],
    optimizer: Mapping[str, Any],
    key: str,
    mark: str = CHOSEN,
) -> list[list[str]]:
    """The rows, in the order of the branches.

    Args:
        model: a `SweepRecognizer`.
        metrics: results of each run, ``<run>/<key>``, from 0 to 1.
        optimizer: config with the rates of runs that have none of their own.
        key: the result that is shown.
        mark: what stands behind the best.
    """
    backbone, heads = model.backbone, model.cls_head.heads
    found = {run.name: metrics.get(f'{run.name}/{key}') for run in backbone.runs.values()}
    known = [name for name, value in found.items() if value is not None]
    best = max(known, key=lambda name: found[name], default=None)  # the first of equals
    rows = []
    for (name, run), head in zip(backbone.runs.items(), heads, strict=True):
        lr, decay = (
            optimizer.get(rate) if given is None else given
            for rate, given in (('lr', run.lr), ('weight_decay', run.weight_decay))
        )
        parts = (backbone.branches[name], head)
        tuned = sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)
        value = found[run.name]
        figures = [f'{backbone.out_channels[name]}', f'{tuned:,}']
        figures.append('' if value is None else f'{100 * value:.1f}')
        rates = ['' if rate is None else f'{rate:g}' for rate in (lr, decay)]
        rows.append([run.name, *rates, *figures, mark if run.name == best else ''])
    return rows
