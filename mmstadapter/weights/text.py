"""The text tower and the temperature of any CLIP file, under one set of names."""

import json
import logging
from collections.abc import Collection
from pathlib import Path

from mmengine.logging import print_log
from torch import Tensor

from .fetch import locate
from .files import read_tensors
from .tables import Source
from .text_sources import EVA_CLIP_TEXT, HF_CLIP_TEXT, OPENAI_CLIP_TEXT, TEXT_SOURCES


def load_text(checkpoint: str | Path, activation: str = 'quick_gelu') -> dict[str, Tensor]:
    """CLIP's text tower under OpenAI's names, those of `CLIPText`.

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
    _check_activation(path, source, activation)
    ours = source.to_ours(tensors)
    what = ', '.join(f'{pattern} ({count})' for pattern, count in source.left_out(tensors).items())
    print_log(
        f'{path}: {len(ours)} tensors of the text tower, named as in {source.name}; '
        f'ignored: {what or "nothing"}',
        'current',
    )
    return ours


def load_logit_scale(checkpoint: str | Path) -> float:
    """The temperature of a CLIP file: similarities are multiplied by its exponential.

    Raises:
        KeyError: if the file has none, as files of one tower alone.
    """
    path = locate(checkpoint)
    tensors = read_tensors(path)
    if 'logit_scale' not in tensors:
        raise KeyError(
            f'load_logit_scale: {path} has no logit_scale. Give a file with both towers, or set '
            "the retriever's temperature: OpenAI's models have ln 100 = 4.6052."
        )
    return tensors['logit_scale'].float().item()


def _find_source(names: Collection[str], path: Path) -> Source:
    """The first text source that accepts every name of a file."""
    reasons = []
    for source in TEXT_SOURCES:
        unknown = source.unknown(names)
        if not unknown and source.known(names):
            return source
        first = ', '.join(map(repr, unknown[:3])) + (' ...' if len(unknown) > 3 else '')
        reason = f'no rule for {first} ({len(unknown)} of {len(names)} names)'
        reasons.append(f'{source.name}: {reason if unknown else "no text tower"}')
    raise KeyError(
        f'load_text: {path} is named as in none of the known CLIP files. {"; ".join(reasons)}. '
        'Give a whole CLIP file, or its text tower, of OpenAI, open_clip, EVA-CLIP or Hugging Face.'
    )


def _check_activation(path: Path, source: Source, activation: str) -> None:
    """Refuse a model of another activation: its features would be wrong.

    EVA-CLIP's names tell. OpenAI's and LAION's do not, but the config that Hugging Face
    and open_clip put beside the file does.
    """
    config = path.with_name('config.json' if source is HF_CLIP_TEXT else 'open_clip_config.json')
    if source is EVA_CLIP_TEXT:
        stored, where = 'gelu', 'its names are those of EVA-CLIP'
    elif config.is_file():
        stored = _stored_activation(json.loads(config.read_text(encoding='utf-8')))
        where = f'says {config}'
    else:
        if source is not OPENAI_CLIP_TEXT:
            print_log(
                f'{path}: no {config.name} beside it says with which activation its text tower '
                f'was trained; taken for {activation}. Set model.text_tower.activation if that '
                'is wrong.',
                'current',
                level=logging.WARNING,
            )
        return
    if stored != activation:
        raise ValueError(
            f'load_text: the text tower of {path} was trained with the activation {stored!r} '
            f'({where}), the model computes {activation!r} and would give wrong features. Set '
            f"model.text_tower.activation='{stored}' (EVAText for EVA-CLIP)."
        )


def _stored_activation(config: dict) -> str:
    """The activation that a config of Hugging Face or open_clip states, or its default."""
    if 'model_cfg' in config:
        return 'quick_gelu' if config['model_cfg'].get('quick_gelu') else 'gelu'
    return config.get('text_config', config).get('hidden_act', 'quick_gelu')
