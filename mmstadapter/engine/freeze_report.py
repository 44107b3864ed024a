"""What of a model is tuned and what is frozen, in numbers."""

from dataclasses import dataclass
from typing import Any

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ..printing import in_columns

CLASSIFIER = 'cls_head'


@dataclass
class ParameterRow:
    """Numbers of values in one part of a model."""

    part: str
    tuned: int = 0
    frozen: int = 0
    buffers: int = 0

    @property
    def total(self) -> int:
        """Tuned and frozen parameters; buffers are not parameters."""
        return self.tuned + self.frozen


def count_parameters(model: nn.Module) -> list[ParameterRow]:
    """Count tuned, frozen and buffer values in each part of a model.

    A part is a top-level child (``cls_head``, ``text_tower``, ``logit_scale``);
    a child that holds a ``trunk`` is given by its own children
    (``backbone.trunk``, ``backbone.after_attn``). Rows come in the model's
    order; a tensor shared by two parts counts in the first.
    """
    whole: Any = model.module if is_model_wrapper(model) else model
    rows: dict[str, ParameterRow] = {}

    def row(name: str) -> ParameterRow:
        part = _part(whole, name)
        return rows.setdefault(part, ParameterRow(part))

    for name, parameter in whole.named_parameters():
        if parameter.requires_grad:
            row(name).tuned += parameter.numel()
        else:
            row(name).frozen += parameter.numel()
    for name, buffer in whole.named_buffers():
        row(name).buffers += buffer.numel()
    return list(rows.values())


def tuned_parameters(rows: list[ParameterRow]) -> tuple[int, int]:
    """The number reported: tuned parameters with the classifier, and without it."""
    tuned = sum(row.tuned for row in rows)
    return tuned, tuned - sum(row.tuned for row in rows if row.part == CLASSIFIER)


def format_rows(rows: list[ParameterRow]) -> str:
    """Rows as a table with a last line of sums and the number reported below."""
    columns = ('tuned', 'frozen', 'total', 'buffers')
    cells = [[row.part, *(f'{getattr(row, c):,}' for c in columns)] for row in rows]
    sums = ['all', *(f'{sum(getattr(row, c) for row in rows):,}' for c in columns)]
    table = [['part', *columns], *cells, sums]
    with_classifier, without = tuned_parameters(rows)
    last = f'tuned parameters: {with_classifier:,} ({without:,} without the classifier)'
    return f'{in_columns(table, "lr")}\n{last}'


def _part(model: nn.Module, name: str) -> str:
    top, *below = name.split('.')
    holds_trunk = hasattr(getattr(model, top), 'trunk')
    return f'{top}.{below[0]}' if holds_trunk and below else top


@HOOKS.register_module()
class FreezeReportHook(Hook):
    """Log what is tuned and what is frozen when training starts."""

    def before_train(self, runner: Runner) -> None:
        """Log the table of :func:`count_parameters`."""
        runner.logger.info('Tuned and frozen\n' + format_rows(count_parameters(runner.model)))
