"""Checkpoints that hold what the pretrained file cannot supply again, and nothing else."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..models.pretrained import Pretrained

FORMAT = 'mmstadapter-adapter-1'


def drop_frozen(
    model: nn.Module, state_dict: dict[str, Tensor], prefix: str = ''
) -> dict[str, Tensor]:
    """The state dict without what pretrained files can supply, with their fingerprints.

    An image or text encoder whose frozen tensors did not come from its pretrained file
    keeps them in.

    Args:
        model: the model, or a wrapper of it.
        state_dict: its state dict, or one with every name behind ``prefix``.
        prefix: what stands before the model's names, ``'module.'`` in averaged models.
    """
    while is_model_wrapper(model):
        model = model.module
    trunks = {
        prefix + name: module
        for name, module in model.named_modules()
        if isinstance(module, Pretrained) and module.frozen_keys()
    }
    frozen = {f'{name}.{key}' for name, trunk in trunks.items() for key in trunk.frozen_keys()}
    kept = OrderedDict((k, v) for k, v in state_dict.items() if k not in frozen)
    for name, trunk in trunks.items():
        kept[f'{name}.fingerprint'] = trunk.fingerprint.clone()
    return kept


@HOOKS.register_module()
class TunedCheckpointHook(Hook):
    """Save tuned-only checkpoints: adapters, heads, statistics and the trunk's fingerprint.

    ``model.state_dict()`` stays whole; only what is written to disk is smaller. An
    averaged model kept by MMEngine's ``EMAHook`` is treated alike.
    """

    priority = 'LOWEST'

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Drop the frozen tensors from the checkpoint about to be written."""
        checkpoint['state_dict'] = drop_frozen(runner.model, checkpoint['state_dict'])
        averaged = checkpoint.get('ema_state_dict')
        if averaged is not None:
            checkpoint['ema_state_dict'] = drop_frozen(runner.model, averaged, 'module.')


def write_adapter(path: str | Path, model: nn.Module, config: Config, **metadata: Any) -> None:
    """Write a model's tuned part as one safetensors file that says what it is.

    Args:
        path: the .safetensors file, written atomically.
        model: a model whose trunk was loaded from its pretrained file.
        config: the config that builds it; stored as JSON, so reading executes nothing.
        metadata: further entries, such as ``labels``; stored as JSON.

    Raises:
        ValueError: if the trunk's weights did not come from a pretrained file, because
            the file would then not be loadable anywhere else.
    """
    path = Path(path)
    tensors = drop_frozen(model, model.state_dict())
    trunks = [m for m in model.modules() if isinstance(m, Pretrained)]
    for trunk in trunks:
        if trunk.frozen_names() and not trunk.frozen_keys():
            raise ValueError(
                f"write_adapter: the {trunk.role}'s frozen weights did not come from its "
                'pretrained file, so this adapter could not be used elsewhere. Set '
                f'{trunk.setting}.checkpoint and load the tuned checkpoint onto it first.'
            )
    fingerprints = [
        bytes(t.fingerprint.tolist()).hex() for t in trunks if t.fingerprint is not None
    ]
    header = dict(
        format=FORMAT,
        method=config.model.backbone.type,
        trunk=config.model.backbone.trunk.to_dict(),
        trunk_fingerprint=fingerprints,
        preprocessing=config.model.get('data_preprocessor', {}),
        config=config.to_dict(),
        **metadata,
    )
    text = {k: v if isinstance(v, str) else json.dumps(v, default=str) for k, v in header.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + '.part')
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, unfinished, text)
    unfinished.replace(path)


def read_adapter(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of an adapter file; executes nothing.

    Raises:
        ValueError: if the file is not one of ours.
    """
    with safe_open(str(path), framework='pt') as file:
        header = dict(file.metadata() or {})
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    if header.get('format') != FORMAT:
        raise ValueError(
            f'{path}: not an adapter file of mmstadapter (format {header.get("format")!r}, '
            f'expected {FORMAT!r}). Make one with `mmstadapter publish`.'
        )
    for key in ('trunk', 'trunk_fingerprint', 'preprocessing', 'config', 'labels'):
        if key in header:
            header[key] = json.loads(header[key])
    return tensors, header
