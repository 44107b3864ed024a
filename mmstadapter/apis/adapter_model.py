"""The model of an adapter file, as it was when it was written."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from .. import weights
from ..engine.tuned_checkpoint import read_adapter
from .building import build_model
from .stored_config import stored_config
from .trunk_file import trunk_file

HINT = (
    ' The trunk this adapter belongs to is chosen by checkpoint=... of mmstadapter.Predictor, '
    '--checkpoint of `mmstadapter predict`.'
)


class AdapterModel(NamedTuple):
    """What an adapter file makes: the model on the CPU, its config, pipeline and metadata."""

    model: nn.Module
    config: dict[str, Any]
    steps: list[dict]
    header: dict[str, Any]


def read_model(adapter: str | Path, checkpoint: str | Path | None = None) -> AdapterModel:
    """Build the model of an adapter file and load trunk and tuned part; executes nothing of it.

    Args:
        adapter: a file that `mmstadapter fit` or `mmstadapter publish` wrote, the folder it is
            in, or the name of one at the hub, ``hf:OWNER/NAME``.
        checkpoint: the trunk's pretrained file or known name; see :func:`trunk_file` if None.

    Raises:
        ValueError: not an adapter file, or one that cannot be used as it is.
        RuntimeError: another trunk, or a file of another size.
        FileNotFoundError: no such adapter or trunk file.
    """
    adapter = weights.adapter_file(adapter)
    tensors, header = read_adapter(adapter)
    config, steps = stored_config(header, str(adapter))
    backbone = config.get('backbone')
    trunk = backbone.get('trunk') if isinstance(backbone, dict) else None
    if not isinstance(trunk, dict):
        raise ValueError(f'{adapter}: its model has no backbone.trunk, so it is no adapter.')
    try:
        found = (
            trunk_file(trunk, tensors, header, adapter) if checkpoint is None else str(checkpoint)
        )
        place_trunk(config, trunk.get('checkpoint'), found)
        model = build_model(config, tensors)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{error}{HINT}') from error
    except (RuntimeError, KeyError) as error:
        raise RuntimeError(f'Predictor: {_words(error)}{HINT}') from error
    return AdapterModel(model, config, steps, header)


def place_trunk(config: dict[str, Any], stored: str | None, found: str | None) -> None:
    """Let all encoders that read the file the trunk was read from read it where it is now."""
    towers = [config.get('text_tower'), (config.get('cls_head') or {}).get('text_tower')]
    for part in filter(None, towers):
        if stored is not None and part.get('checkpoint') == stored:
            part['checkpoint'] = found
    config['backbone']['trunk']['checkpoint'] = found


def _words(error: Exception) -> str:
    """A KeyError's message is its argument; its str() is that in quotes."""
    return str(error.args[0]) if error.args else str(error)
