"""The config of a retrieval model in its adapter file."""

from pathlib import Path

from mmengine.config import Config
from safetensors import SafetensorError, safe_open

from .. import weights
from ..apis.adapter_model import place_trunk
from ..apis.stored_config import stored_config
from ..apis.trunk_file import trunk_file
from ..engine.tuned_checkpoint import FORMAT, read_adapter

TRUNK = 'model.backbone.trunk.checkpoint'  # the option that says where it lies


def is_adapter(checkpoint: str | Path | None) -> bool:
    """Whether a checkpoint is an adapter file, its folder, or one at the hub."""
    if checkpoint is None:
        return False
    try:
        with safe_open(weights.adapter_file(checkpoint), 'pt') as file:
            return (file.metadata() or {}).get('format') == FORMAT
    except (OSError, SafetensorError):
        return False


def config_in(adapter: str | Path | None, find: bool = True) -> Config:
    """The config that an adapter file holds, checked; executes nothing of it.

    Args:
        adapter: file, folder or name at the hub, see `weights.adapter_file`.
        find: name the trunk's file where it is now, see :func:`trunk_file`.

    Raises:
        FileNotFoundError: no such adapter or trunk file.
        ValueError: no adapter file, or one that cannot be used as it is.
    """
    if adapter is None:
        raise ValueError(
            'SearchModel: needs a config, or an adapter file of `mmstadapter fit` or `publish` as '
            'its checkpoint.'
        )
    path = weights.adapter_file(adapter)
    tensors, header = read_adapter(path)
    model, steps = stored_config(header, str(path))
    backbone = model.get('backbone')
    trunk = backbone.get('trunk') if isinstance(backbone, dict) else None
    if find and isinstance(trunk, dict):
        found = trunk_file(trunk, tensors, header, path)
        place_trunk(model, trunk.get('checkpoint'), found)
    loader = dict(dataset=dict(pipeline=steps))
    return Config(dict(header['config'], model=model, test_dataloader=loader))
