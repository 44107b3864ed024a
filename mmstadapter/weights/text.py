"""The text tower and the temperature of any CLIP file, under one set of names."""

from pathlib import Path

from .fetch import locate
from .files import open_tensors
from .lazy import LazyTensors
from .matching import Tower, load_tower

TEXT = Tower('text', 'text tower', 'load_text', 'model.text_tower', 'text_config')


def load_text(checkpoint: str | Path, activation: str = 'quick_gelu') -> LazyTensors:
    """CLIP's text tower under OpenAI's names, those of `CLIPText`; all else as by `load_visual`.

    Args:
        checkpoint: path or known name of a CLIP file, see `locate` and `read_tensors`.
        activation: what the model will compute, ``'quick_gelu'`` or ``'gelu'``.

    Raises:
        KeyError, ValueError: as by `load_visual`.
    """
    return load_tower(TEXT, checkpoint, activation, _advice)


def _advice(names: object) -> str:
    return (
        'Give a whole CLIP file, or its text tower, of OpenAI, open_clip, EVA-CLIP or Hugging Face.'
    )


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
