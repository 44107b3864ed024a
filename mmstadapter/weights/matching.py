"""One of CLIP's towers out of a weights file: whose names the file has, and its activation."""

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmengine.logging import print_log
from torch import Tensor

from .fetch import locate
from .files import open_tensors
from .lazy import LazyTensors
from .sources import SOURCES
from .tables import Source


@dataclass(frozen=True)
class Tower:
    """A tower that a file may hold.

    Args:
        kind: that of its sources.
        what: what it is called.
        loader: the function that users call, for errors.
        setting: where it stands in a config.
        part: what it is called in a config of Hugging Face.
        family: what its files are called.
    """

    kind: str
    what: str
    loader: str
    setting: str
    part: str
    family: str = 'CLIP'


def load_tower(
    tower: Tower,
    checkpoint: str | Path,
    activation: str | None,
    advice: Callable[[Collection[str]], str],
) -> LazyTensors:
    """A tower under our names, read when asked for; what else the file holds is logged.

    Args:
        tower: which.
        checkpoint: path or known name of a file.
        activation: what the model computes, or None where all such models have the same.
        advice: what to do with a file of these names, if no source accepts them.

    Raises:
        KeyError: if no source accepts every name of the file.
        ValueError: if it needs another activation, or when a tensor is asked for that holds no
            floating-point numbers.
    """
    path = locate(checkpoint)
    tensors = open_tensors(path)
    source = _find_source(tower, tensors, path, advice)
    if activation is not None:
        (source.require or partial(_check_activation, tower, source))(path, activation)
    ours = source.lazily(tensors)
    left_out = ', '.join(f'{name} ({count})' for name, count in source.left_out(tensors).items())
    print_log(
        f'{path}: {len(ours)} tensors of the {tower.what}, named as in {source.name}; '
        f'ignored: {left_out or "nothing"}',
        'current',
    )
    return LazyTensors.choose(ours, ours, {name: partial(_floating, path, name) for name in ours})


def _find_source(
    tower: Tower, names: Collection[str], path: Path, advice: Callable[[Collection[str]], str]
) -> Source:
    """The first source that accepts every name of a file and knows one."""
    reasons = []
    for source in (source for source in SOURCES.values() if source.kind == tower.kind):
        unknown = source.unknown(names)
        if not unknown and source.known(names):
            return source
        first = ', '.join(map(repr, unknown[:3])) + (' ...' if len(unknown) > 3 else '')
        reason = f'no rule for {first} ({len(unknown)} of {len(names)} names)'
        reasons.append(f'{source.name}: {reason if unknown else f"no {tower.what}"}')
    raise KeyError(
        f'{tower.loader}: {path} is named as in none of the known {tower.family} files. '
        f'{"; ".join(reasons)}. {advice(names)}'
    )


def _floating(path: Path, name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise ValueError(
            f'{path}: {name} must hold floating-point numbers, got {tensor.dtype}. Give a file '
            'that is not quantised.'
        )
    return tensor


def _check_activation(tower: Tower, source: Source, path: Path, activation: str) -> None:
    """Refuse a model that says it needs another activation: its features would be wrong.

    Names do not tell QuickGELU (OpenAI) from GELU (most of LAION's models), but the
    config that Hugging Face and open_clip put beside the file does.
    """
    file, setting = path.with_name(source.config), f'{tower.setting}.activation'
    if file.is_file():
        stored = _stored_activation(file, tower.part)
        if stored != activation:
            raise ValueError(
                f'{path} was trained with the activation {stored!r} (says {file}), the model '
                f"computes {activation!r} and would give wrong features. Set {setting}='{stored}'."
            )
    elif not source.one_activation:
        print_log(
            f'{path}: no {source.config} beside it says with which activation it was trained; '
            f'taken for {activation}. Set {setting} if that is wrong.',
            'current',
            level=logging.WARNING,
        )


def _stored_activation(file: Path, part: str) -> str:
    """The activation that a config of Hugging Face or open_clip states, or its default."""
    try:
        config = json.loads(file.read_text(encoding='utf-8'))
        if 'model_cfg' in config:
            return 'quick_gelu' if config['model_cfg'].get('quick_gelu') else 'gelu'
        return config.get(part, config).get('hidden_act', 'quick_gelu')
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f'{file} should say with which activation the weights beside it were trained, but is '
            f'no config of a CLIP model: {error}. Correct it or move it elsewhere.'
        ) from None
