"""The text tower and the temperature of any CLIP file, under one set of names."""

from dataclasses import replace
from pathlib import Path

from .fetch import locate
from .files import open_tensors
from .lazy import LazyTensors
from .matching import Tower, load_tower

TEXT = Tower('text', 'text tower', 'load_text', 'model.text_tower', 'text_config')
SIGLIP = replace(TEXT, kind='siglip-text', loader='load_siglip_text', family='SigLIP')
USUAL = dict(
    logit_scale="OpenAI's models have ln 100 = 4.6052",
    logit_bias='SigLIP starts its training at -10, models trained by contrast have none',
)


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


def load_siglip_text(checkpoint: str | Path) -> LazyTensors:
    """The text tower of a SigLIP file under the names of `SigLIPText`.

    Raises:
        KeyError: if it is no SigLIP file of open_clip or Hugging Face.
        ValueError: when a tensor is asked for that holds no floating-point numbers.
    """
    return load_tower(SIGLIP, checkpoint, None, _siglip_advice)


def _siglip_advice(names: object) -> str:
    return (
        'Give a file with both towers of SigLIP or SigLIP 2, of open_clip '
        '(open_clip_model.safetensors) or Hugging Face (model.safetensors, fixed resolution).'
    )


def load_logit_scale(checkpoint: str | Path) -> float:
    """The temperature of a CLIP file: similarities are multiplied by its exponential.

    Raises:
        KeyError, ValueError: see `load_number`.
    """
    return load_number(checkpoint, 'logit_scale')


def load_number(checkpoint: str | Path, name: str) -> float:
    """``logit_scale`` or ``logit_bias`` of a file with both towers.

    Raises:
        KeyError: if the file has none, as files of one tower alone.
        ValueError: if it is more than one number.
    """
    path = locate(checkpoint)
    tensors = open_tensors(path)
    if name not in tensors:
        raise KeyError(
            f'load_{name}: {path} has no {name}. Give a file with both towers, or set '
            f"the retriever's {name}: {USUAL[name]}."
        )
    number = tensors[name]
    if number.numel() != 1:
        raise ValueError(
            f'load_{name}: {name} of {path} must be one number, got {tuple(number.shape)}.'
        )
    return number.float().item()
