"""A result of the leaderboard: one JSON file in a folder of its own, from whomever."""

import datetime
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_type_hints

from .tasks import TASKS

TRUNKS = ('clip-tiny', 'timm-tiny')


class ResultError(ValueError):
    """A file is no result, and the message says why."""

    is_said_whole = True


@dataclass(frozen=True)
class Result:
    """What a method reached on a task with a trunk and a seed, and what it took.

    Attributes:
        method: short name of the row; ``label``: what stands in the table.
        trunk, task, seed: of the run.
        scores: in per cent, as the task names them: ``{'top1': 63.3}``, or ``t2v`` and ``v2t``.
        sees_order: whether the model can tell a clip from the same clip backwards.
        tuned: trained parameters, classifier included.
        gmac: 1e9 multiply-adds of the backbone on one clip.
        peak_mb: peak of a training step in 1e6 bytes, accounted; None where nothing is trained.
        step_ms: least processor time of a training step; None where it was not measured.
        epochs: of the training.
        config, options: the config and its changed fields.
        machine, versions, date: where, with what, and when (YYYY-MM-DD).
        inputs: recipe of the data and checksum of the image model.
    """

    method: str
    label: str
    trunk: str
    task: str
    seed: int
    scores: dict
    sees_order: bool
    tuned: int
    gmac: float
    peak_mb: float | None
    step_ms: float | None
    epochs: int
    config: str
    options: dict
    machine: str
    versions: dict
    date: str
    inputs: dict

    def key(self) -> str:
        """Of the run; also the name of its folder where we write it."""
        return f'{self.method}_{self.trunk}_{self.task}_{self.seed}'


def write(result: Result, folder: Path) -> None:
    """Write a result into a folder of its own below ``folder``, whole or not at all."""
    file = folder / result.key() / 'result.json'
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix('.part')
    part.write_text(json.dumps(asdict(result), indent=1) + '\n')
    os.replace(part, file)


def read(file: Path) -> Result:
    """Read and check a file.

    Raises:
        ResultError: if it is no result; the message says which field is wrong and how.
    """
    try:
        values = json.loads(
            file.read_text(encoding='utf-8'),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse_constant,
        )
        result = Result(**_checked(values))
        _check_words(result)
        _check_scores(result)
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8 and ours
        raise ResultError(f'{file}: {error}') from error
    return result


def read_all(folder: Path) -> list[Result]:
    """All results: a folder each below ``folder``, with one .json file.

    Raises:
        ResultError: for a file that is none, for two of the same run, and for rows of one name
            with different labels.
    """
    files = sorted(folder.glob('*/*.json'))
    results = [read(file) for file in files]
    _refuse_pairs(zip(files, results, strict=True))
    return results


def _refuse_pairs(read: Iterable[tuple[Path, Result]]) -> None:
    runs: dict[str, Path] = {}
    labels: dict[tuple[str, str], tuple[str, Path]] = {}
    for file, result in read:
        other = runs.setdefault(result.key(), file)
        if other != file:
            raise ResultError(
                f'{file}: duplicate: {other} holds a result of method {result.method!r}, trunk '
                f'{result.trunk!r}, task {result.task!r} and seed {result.seed} as well. Delete '
                'one, or name the method or the seed otherwise.'
            )
        row = (result.method, TASKS[result.task].kind)
        label, first = labels.setdefault(row, (result.label, file))
        if label != result.label:
            raise ResultError(
                f'{file}: field label is {result.label!r}, and {label!r} in {first} for the same '
                f'method {result.method!r}. Give both one label, or the method another name.'
            )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f'field {", ".join(repeated)} stands there twice.')
    return dict(pairs)


def _refuse_constant(name: str) -> float:
    raise ValueError(f'{name} is no number of a result. Leave the run out, it has failed.')


def _checked(values: Any) -> dict[str, Any]:
    """The values, if all fields and no others are there, each of its type and finite."""
    if not isinstance(values, dict):
        raise ValueError(f'needed is one object {{"method": ..., ...}}, got {values!r:.60}.')
    kinds = get_type_hints(Result)
    if unknown := sorted(values.keys() - kinds):
        raise ValueError(f'unknown field {", ".join(unknown)}. Known: {", ".join(kinds)}.')
    if missing := [f.name for f in fields(Result) if f.name not in values]:
        raise ValueError(f'missing field {", ".join(missing)}.')
    return {name: _fitting(name, value, kinds[name]) for name, value in values.items()}


def _fitting(name: str, value: Any, kind: Any) -> Any:
    kinds = kind.__args__ if isinstance(kind, UnionType) else (kind,)
    allowed = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
        needed = ' or '.join('null' if k is type(None) else k.__name__ for k in kinds)
        raise ValueError(f'field {name} must be {needed}, got {value!r:.60}.')
    if isinstance(value, int | float) and not 0 <= value < math.inf:
        raise ValueError(f'field {name} must be a finite number from 0, got {value!r}.')
    return value


def _check_words(result: Result) -> None:
    for name, value, known in (
        ('trunk', result.trunk, TRUNKS),
        ('task', result.task, tuple(TASKS)),
    ):
        if value not in known:
            raise ValueError(f'field {name} must be one of {", ".join(known)}, got {value!r}.')
    for name in ('method', 'label', 'config', 'machine'):
        text = getattr(result, name)
        if not text.strip() or not text.isprintable() or '|' in text:
            raise ValueError(f'field {name} must be a line of text without "|", got {text!r}.')
    if not result.method.replace('-', '').replace('_', '').isalnum():
        raise ValueError(
            f'field method must be of letters, digits, - and _, got {result.method!r}.'
        )
    if 'torch' not in result.versions:
        raise ValueError('field versions must name torch, as in {"torch": "2.13.0"}.')
    datetime.date.fromisoformat(result.date)


def _check_scores(result: Result) -> None:
    task, scores = TASKS[result.task], result.scores
    if scores.keys() != task.scores.keys():
        needed = ', '.join(task.scores)
        raise ValueError(f'field scores must hold {needed} for {result.task}, got {scores!r}.')
    for name, value in scores.items():
        _fitting(f'scores.{name}', value, float)
        if value > 100:
            raise ValueError(f'field scores.{name} must be per cent, 0 to 100, got {value!r}.')
        if task.bound and not result.sees_order and value > task.bound + 0.01:
            raise ValueError(
                f'field scores.{name} is {value}, and a model that does not look at the order of '
                f'frames (sees_order: false) reaches at most {task.bound:.1f} on {result.task}. '
                'Say sees_order: true if it does; else something in the run is not as it seems.'
            )
