"""Build the model of an index, whole or for captions alone, and read all its weights from files."""

from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from .. import weights
from ..models.pretrained import Pretrained
from ..models.retrieval import Retriever

VIDEO_SIDE = 'backbone'


def build(
    config: dict[str, Any], checkpoint: str | None, name: str, captions_only: bool
) -> nn.Module:
    """The model, all of whose weights come from files.

    Args:
        config: of the model.
        checkpoint: file with trained weights, or None.
        name: of the config, for messages.
        captions_only: leave out a retriever's backbone, and do not read its weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: if this is no retrieval model, or the checkpoint no file of tensors.
        RuntimeError: if some weights would be random, or the checkpoint's are of another model.
    """
    kind = MODELS.get(config['type'])
    if captions_only and isinstance(kind, type) and issubclass(kind, Retriever):
        config = config | {VIDEO_SIDE: None}
    model = MODELS.build(config)
    if not hasattr(model, 'encode_videos') or not hasattr(model, 'encode_captions'):
        raise ValueError(
            f'{name}: {type(model).__name__} is no retrieval model. Give a config whose model is '
            'mmstadapter.Retriever.'
        )
    if checkpoint is None:
        _load_pretrained(model, name)
    elif not Path(checkpoint).is_file():
        raise FileNotFoundError(f'SearchModel: no checkpoint {checkpoint}. Give --checkpoint FILE.')
    else:
        _load_trained(model, checkpoint)
    return model


def fingerprints(model: nn.Module) -> dict[str, str]:
    """The weights of each of its parts as 64 hexadecimal digits."""
    parts = {name: part.state_dict() for name, part in model.named_children()}
    return {
        name: bytes(weights.fingerprint(tensors).tolist()).hex()
        for name, tensors in parts.items()
        if tensors and name != 'data_preprocessor'
    }


def _load_trained(model: nn.Module, checkpoint: str) -> None:
    """Read trained weights, strictly; those of a backbone that was not built are never touched."""
    tensors = weights.read_tensors(checkpoint)
    if getattr(model, VIDEO_SIDE, model) is None:
        tensors = {n: t for n, t in tensors.items() if not n.startswith(f'{VIDEO_SIDE}.')}
    weights.require_numbers(tensors, checkpoint)
    try:
        load_state_dict(model, tensors, strict=True)
    except RuntimeError as error:
        raise RuntimeError(f'{checkpoint} does not belong to this model: {error}') from error


def _load_pretrained(model: nn.Module, name: str) -> None:
    """Read the pretrained files; raise if a weight that features depend on is in none."""
    supplied = ['logit_scale']  # on which no feature depends
    for prefix, part in model.named_modules():
        if isinstance(part, Pretrained) and part.checkpoint is not None:
            part.init_weights()
            supplied.append(f'{prefix}.')
    names = [parameter for parameter, _ in model.named_parameters()]
    random = [parameter for parameter in names if not parameter.startswith(tuple(supplied))]
    if random:
        shown = ', '.join(random[:4]) + (' ...' if len(random) > 4 else '')
        raise RuntimeError(
            f'{name}: without a checkpoint {len(random)} tensors would be random ({shown}). Give '
            'the trained weights (--checkpoint FILE), or a config all of whose weights are '
            'pretrained.'
        )
