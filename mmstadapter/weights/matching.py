"""Whose names a weights file has, and what the config beside it says."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

from mmengine.logging import print_log
from torch import Tensor

from .lazy import LazyTensors
from .tables import Source


def find_source(
    names: Collection[str], sources: Iterable[Source], what: str
) -> tuple[Source | None, str]:
    """The first source that accepts every name of a file and knows one, or why none does.

    Args:
        names: the names in the file.
        sources: what may fit.
        what: what they hold, for the reasons: ``'image tower'``.

    Returns:
        The source and no reasons, or None and a reason for each source.
    """
    reasons = []
    for source in sources:
        unknown = source.unknown(names)
        if not unknown and source.known(names):
            return source, ''
        first = ', '.join(map(repr, unknown[:3])) + (' ...' if len(unknown) > 3 else '')
        reason = f'no rule for {first} ({len(unknown)} of {len(names)} names)'
        reasons.append(f'{source.name}: {reason if unknown else f"no {what}"}')
    return None, '; '.join(reasons)


def rename(tensors: Mapping[str, Tensor], source: Source, path: Path, what: str) -> LazyTensors:
    """A tower under our names, read when asked for; what else the file holds is logged.

    Args:
        tensors: those of the file.
        source: whose names it has.
        path: the file.
        what: what the source's table holds: ``'image tower'``.

    Raises:
        ValueError: when a tensor is asked for that holds no floating-point numbers.
    """
    ours = source.lazily(tensors)
    left_out = ', '.join(f'{name} ({count})' for name, count in source.left_out(tensors).items())
    print_log(
        f'{path}: {len(ours)} tensors of the {what}, named as in {source.name}; '
        f'ignored: {left_out or "nothing"}',
        'current',
    )
    return LazyTensors.choose(ours, ours, {name: partial(_floating, path, name) for name in ours})


def _floating(path: Path, name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise ValueError(
            f'{path}: {name} must hold floating-point numbers, got {tensor.dtype}. Give a file '
            'that is not quantised.'
        )
    return tensor


def check_activation(
    path: Path, activation: str, config: str, part: str, setting: str, tells: bool
) -> None:
    """Refuse a model that says it needs another activation: its features would be wrong.

    Names do not tell QuickGELU (OpenAI) from GELU (most of LAION's models), but the
    config that Hugging Face and open_clip put beside the file does.

    Args:
        path: the weights file.
        activation: what the model computes.
        config: name of the config beside the file.
        part: ``'vision_config'`` or ``'text_config'``, the tower's part of Hugging Face's.
        setting: where a user sets the activation.
        tells: whether the source has one activation only, so that no config is needed.

    Raises:
        ValueError: if the config states another activation, or is none.
    """
    file = path.with_name(config)
    if file.is_file():
        stored = _stored_activation(file, part)
        if stored != activation:
            raise ValueError(
                f'{path} was trained with the activation {stored!r} (says {file}), the model '
                f"computes {activation!r} and would give wrong features. Set {setting}='{stored}'."
            )
    elif not tells:
        print_log(
            f'{path}: no {config} beside it says with which activation it was trained; taken for '
            f'{activation}. Set {setting} if that is wrong.',
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
