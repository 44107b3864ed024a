"""The text tower and the temperature of any CLIP file, under one set of names."""

from collections.abc import Collection
from pathlib import Path

from .fetch import locate
from .files import open_tensors
from .lazy import LazyTensors
from .matching import check_activation, find_source, rename
from .tables import Source
from .text_sources import EVA_CLIP_TEXT, HF_CLIP_TEXT, OPENAI_CLIP_TEXT, TEXT_SOURCES

TEXT_TOWER = 'text tower'


def load_text(checkpoint: str | Path, activation: str = 'quick_gelu') -> LazyTensors:
    """CLIP's text tower under OpenAI's names, those of `CLIPText`; all else as by `load_visual`.

    Args:
        checkpoint: path or known name of a CLIP file, see `locate` and `read_tensors`.
        activation: what the model will compute, ``'quick_gelu'`` or ``'gelu'``.

    Raises:
        KeyError, ValueError: as by `load_visual`.
    """
    path = locate(checkpoint)
    tensors = open_tensors(path)
    source = _find_source(tensors, path)
    _check_activation(path, source, activation)
    return rename(tensors, source, path, TEXT_TOWER)


def load_logit_scale(checkpoint: str | Path) -> float:
    """The temperature of a CLIP file: similarities are multiplied by its exponential.

    Raises:
        KeyError: if the file has none, as files of one tower alone.
        ValueError: if it is more than one number.
    """
    path = locate(checkpoint)
    tensors = open_tensors(path)
    if 'logit_scale' not in tensors:
        raise KeyError(
            f'load_logit_scale: {path} has no logit_scale. Give a file with both towers, or set '
            "the retriever's temperature: OpenAI's models have ln 100 = 4.6052."
        )
    scale = tensors['logit_scale']
    if scale.numel() != 1:
        raise ValueError(
            f'load_logit_scale: logit_scale of {path} must be one number, got {tuple(scale.shape)}.'
        )
    return scale.float().item()


def _find_source(names: Collection[str], path: Path) -> Source:
    """The first text source that accepts every name of a file."""
    source, reasons = find_source(names, TEXT_SOURCES, TEXT_TOWER)
    if source is not None:
        return source
    raise KeyError(
        f'load_text: {path} is named as in none of the known CLIP files. {reasons}. '
        'Give a whole CLIP file, or its text tower, of OpenAI, open_clip, EVA-CLIP or Hugging Face.'
    )


def _check_activation(path: Path, source: Source, activation: str) -> None:
    """Refuse a model of another activation: its features would be wrong."""
    if source is not EVA_CLIP_TEXT:
        config = 'config.json' if source is HF_CLIP_TEXT else 'open_clip_config.json'
        setting, tells = 'model.text_tower.activation', source is OPENAI_CLIP_TEXT
        check_activation(path, activation, config, 'text_config', setting, tells)
    elif activation != 'gelu':
        raise ValueError(
            f'load_text: {path} is a file of EVA-CLIP, whose text tower has the exact GELU; the '
            f'model computes {activation!r} and would give wrong features. Set model.text_tower '
            "to dict(type='mmstadapter.EVAText', ...)."
        )
