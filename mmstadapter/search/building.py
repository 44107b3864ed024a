"""Build the model of an index, whole or for captions alone, and read all its weights from files."""

from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from torch import Tensor, nn

from .. import weights
from ..apis.building import build_model
from ..models.pretrained import Pretrained
from ..models.retrieval import Retriever
from ..runs.reading import belongs

VIDEO_SIDE = 'backbone'


def build(
    config: dict[str, Any], checkpoint: str | None, name: str, captions_only: bool
) -> nn.Module:
    """The model, all of whose weights come from files.

    Args:
        config: of the model.
        checkpoint: file with trained weights, the name of one at the hub, or None.
        name: of the config, for messages.
        captions_only: leave out a retriever's backbone, and do not read its weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: if this is no retrieval model, or the checkpoint no file of tensors.
        RuntimeError: if some weights would be random, or the checkpoint's are of another model.
    """
    kind = MODELS.get(config['type'])
    if not hasattr(kind, 'encode_videos') or not hasattr(kind, 'encode_captions'):
        raise ValueError(
            f'{name}: {config["type"]} is no retrieval model. Give a config whose model is '
            'mmstadapter.Retriever.'
        )
    if captions_only and isinstance(kind, type) and issubclass(kind, Retriever):
        config = config | {VIDEO_SIDE: None}
    if checkpoint is None:
        model = build_model(config, pretrained=True)
        _refuse_random(model, name)
        return model
    checkpoint = str(weights.adapter_file(checkpoint))
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'SearchModel: no checkpoint {checkpoint}. Give --checkpoint FILE.')
    without = VIDEO_SIDE if config.get(VIDEO_SIDE) is None else ''
    with belongs(checkpoint):
        return build_model(config, _trained(checkpoint, without), without=without)


def fingerprints(model: nn.Module) -> dict[str, str]:
    """The weights of each of its parts as 64 hexadecimal digits."""
    parts = {name: part.state_dict() for name, part in model.named_children()}
    return {
        name: bytes(weights.fingerprint(tensors).tolist()).hex()
        for name, tensors in parts.items()
        if tensors and name != 'data_preprocessor'
    }


def _trained(checkpoint: str, without: str) -> dict[str, Tensor]:
    """A file's tensors; those of a part that was not built are never touched."""
    tensors = weights.read_tensors(checkpoint)
    if without:
        tensors = {n: t for n, t in tensors.items() if not n.startswith(f'{without}.')}
    weights.require_numbers(tensors, checkpoint)
    return tensors


def _refuse_random(model: nn.Module, name: str) -> None:
    """Raise if a weight that features depend on came from no pretrained file."""
    read = [
        f'{prefix}.'
        for prefix, part in model.named_modules()
        if isinstance(part, Pretrained) and part.source == 'pretrained'
    ]
    supplied = ('logit_scale', *read)  # on which no feature depends
    names = [parameter for parameter, _ in model.named_parameters()]
    random = [parameter for parameter in names if not parameter.startswith(supplied)]
    if random:
        shown = ', '.join(random[:4]) + (' ...' if len(random) > 4 else '')
        raise RuntimeError(
            f'{name}: without a checkpoint {len(random)} tensors would be random ({shown}). Give '
            'the trained weights (--checkpoint FILE), or a config all of whose weights are '
            'pretrained.'
        )
