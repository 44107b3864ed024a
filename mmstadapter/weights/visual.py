"""The image tower of any CLIP file, under one set of names, and its identity."""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from .fetch import locate
from .files import read_tensors
from .sources import SOURCES
from .tables import Source


def load_visual(checkpoint: str | Path, activation: str = 'quick_gelu') -> dict[str, Tensor]:
    """CLIP's visual tower under OpenAI's names without ``visual.``, with ``proj`` if there.

    Whose names the file has is found by trying: a source fits if every name is in its
    table or its list of ignored names. What was ignored is logged.

    Args:
        checkpoint: path or known name of a CLIP file, see `locate` and `read_tensors`.
        activation: what the model will compute, ``'quick_gelu'`` or ``'gelu'``.

    Raises:
        KeyError: if no source accepts every name of the file.
        ValueError: if the file, or a config beside it, says that it needs another activation.
    """
    path = locate(checkpoint)
    tensors = read_tensors(path)
    source = _find_source(tensors, path)
    _check_activation(path, source.name, activation)
    ours = source.to_ours(tensors)
    what = ', '.join(f'{pattern} ({count})' for pattern, count in source.left_out(tensors).items())
    print_log(
        f'{path}: {len(ours)} tensors of the image tower, named as in {source.name}; '
        f'ignored: {what or "nothing"}',
        'current',
    )
    return ours


def fingerprint(tensors: Mapping[str, Tensor]) -> Tensor:
    """Identity of a trunk's weights, (32,) uint8: sha256 of names, shapes and values.

    The same values give the same fingerprint in any order, floating type and on any
    device; ``proj`` does not count, since not every source has it.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors.keys() - {'proj'}):
        values = tensors[name].detach().to('cpu', torch.float32).contiguous()
        digest.update(f'{name} {tuple(values.shape)}\n'.encode())
        digest.update(values.numpy().astype('<f4', copy=False).data)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _find_source(names: Collection[str], path: Path) -> Source:
    """The first trunk source that accepts every name of a file."""
    reasons = []
    for source in (s for s in SOURCES.values() if s.kind == 'trunk'):
        unknown = source.unknown(names)
        if not unknown and source.known(names):
            return source
        first = ', '.join(map(repr, unknown[:3])) + (' ...' if len(unknown) > 3 else '')
        reason = f'no rule for {first} ({len(unknown)} of {len(names)} names)'
        reasons.append(f'{source.name}: {reason if unknown else "no image tower"}')
    raise KeyError(
        f'load_visual: {path} is named as in none of the known CLIP files. {"; ".join(reasons)}. '
        'Give a CLIP vision transformer of OpenAI, open_clip (not of timm) or Hugging Face.'
    )


def _check_activation(path: Path, source: str, activation: str) -> None:
    """Refuse a model that says it needs another activation: its features would be wrong.

    Names do not tell QuickGELU (OpenAI) from GELU (most of LAION's models), but the
    config that Hugging Face and open_clip put beside the file does.
    """
    name = 'config.json' if source == 'hf-clip' else 'open_clip_config.json'
    config = path.with_name(name)
    if config.is_file():
        stored = _stored_activation(json.loads(config.read_text(encoding='utf-8')))
        if stored != activation:
            raise ValueError(
                f'load_visual: {path} was trained with the activation {stored!r} (says {config}), '
                f'the model computes {activation!r} and would give wrong features. Set '
                f"model.backbone.trunk.activation='{stored}'."
            )
    elif source != 'openai-clip':
        print_log(
            f'{path}: no {name} beside it says with which activation it was trained; taken for '
            f'{activation}. Set model.backbone.trunk.activation if that is wrong.',
            'current',
            level=logging.WARNING,
        )


def _stored_activation(config: dict) -> str:
    """The activation that a config of Hugging Face or open_clip states, or its default."""
    if 'model_cfg' in config:
        return 'quick_gelu' if config['model_cfg'].get('quick_gelu') else 'gelu'
    return config.get('vision_config', config).get('hidden_act', 'quick_gelu')
