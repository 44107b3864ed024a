"""Checkpoints that hold what the pretrained file cannot supply again, and nothing else."""

import json
import os
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from .. import weights
from ..models.pretrained import Pretrained
from ..weights.containers import kind_of, read_safetensors
from ..weights.files import unwrapped

FORMAT = 'mmstadapter-adapter-1'
MAKE_ONE = 'Make an adapter file of a checkpoint with `mmstadapter publish`.'


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

    def before_run(self, runner) -> None:
        """Raise ValueError for averages of weights that are stored in 8 or 4 bits."""
        for encoder in quantized_encoders(runner.model):
            if any(isinstance(hook, EMAHook) for hook in runner.hooks):
                raise ValueError(
                    f'EMAHook averages all weights, and quantize={encoder.quantize!r} stores those '
                    f'of the {encoder.role} in integers. Set {encoder.setting}.quantize to None, '
                    'or leave out EMAHook.'
                )

    def before_train(self, runner) -> None:
        """Raise RuntimeError for rounded weights that no pretrained file gives back."""
        for module in quantized_encoders(runner.model):
            if not module.frozen_keys():
                raise RuntimeError(
                    f'{type(module).__name__}: quantize={module.quantize!r} rounds the weights of '
                    f'the pretrained file, and those of this {module.role} are not of one, so that '
                    'a checkpoint would hold them rounded, and a resumed run round them again. '
                    f'Set {module.setting}.checkpoint, or quantize=None.'
                )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Drop the frozen tensors from the checkpoint about to be written."""
        checkpoint['state_dict'] = drop_frozen(runner.model, checkpoint['state_dict'])
        averaged = checkpoint.get('ema_state_dict')
        if averaged is not None:
            checkpoint['ema_state_dict'] = drop_frozen(runner.model, averaged, 'module.')


def quantized_encoders(model: nn.Module) -> list[Pretrained]:
    """The encoders of a model that are stored in 8 or 4 bits."""
    return [m for m in model.modules() if isinstance(m, Pretrained) and m.quantize is not None]


def write_adapter(
    path: str | Path,
    model: nn.Module,
    config: Config,
    whole: bool = False,
    portable: bool = False,
    **metadata: Any,
) -> None:
    """Write a model's tuned part as one safetensors file that says what it is.

    Args:
        path: the .safetensors file, written atomically.
        model: a model whose trunk was loaded from its pretrained file.
        config: the config that builds it; stored as JSON, so reading executes nothing.
        whole: of a model whose frozen weights no pretrained file has, write these as well.
        portable: keep the names of pretrained files as the config has them; else they are
            named as they are found from any folder of this machine.
        metadata: further entries, such as ``labels``; stored as JSON.

    Raises:
        ValueError: if the trunk's weights did not come from a pretrained file, because
            the file would then not be loadable anywhere else; if weights are not numbers.
    """
    path = Path(path)
    tensors = unwrapped(drop_frozen(model, model.state_dict()))
    weights.require_numbers(tensors, path)
    trunks = [m for m in model.modules() if isinstance(m, Pretrained)]
    for trunk in trunks:
        if not whole and trunk.frozen_names() and not trunk.frozen_keys():
            raise ValueError(
                f"write_adapter: the {trunk.role}'s frozen weights did not come from its "
                'pretrained file, so this adapter could not be used elsewhere. Set '
                f'{trunk.setting}.checkpoint and load the tuned checkpoint onto it first.'
            )
    fingerprints = [
        bytes(t.fingerprint.tolist()).hex() for t in trunks if t.fingerprint is not None
    ]
    near = None if portable else config.model.backbone.trunk.get('checkpoint')
    config = config if portable else with_whole_paths(config)
    header = dict(
        format=FORMAT,
        method=config.model.backbone.type,
        trunk=config.model.backbone.trunk.to_dict(),
        trunk_fingerprint=fingerprints,
        preprocessing=config.model.get('data_preprocessor', {}),
        config=config.to_dict(),
        **metadata,
    )
    if near is not None and Path(near).exists():  # for files that move together
        header['trunk_beside'] = os.path.relpath(near, path.parent)
    text = {k: v if isinstance(v, str) else json.dumps(v, default=str) for k, v in header.items()}
    weights.save_lazily(tensors, path, text | {weights.SHA256: weights.checksum(tensors)})


def read_adapter(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of an adapter file; executes nothing.

    Args:
        path: of the file, of its folder, or its name at the hub, see `weights.adapter_file`.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: if it cannot be fetched.
        ValueError: if the file is not one of ours, its tensors are not those that were written
            (by its checksum, which files of older versions lack), or are not numbers.
    """
    path = weights.adapter_file(path)
    if not path.is_file():
        raise FileNotFoundError(f'no adapter file {path}.')
    try:
        is_ours = kind_of(path) == 'safetensors'
    except ValueError as error:
        raise ValueError(f'{error} {MAKE_ONE}') from None
    if not is_ours:
        raise ValueError(f'{path} is no safetensors file. {MAKE_ONE}')
    tensors, header = read_safetensors(path)
    if header.get('format') != FORMAT:
        raise ValueError(
            f'{path}: not an adapter file of mmstadapter (format {header.get("format")!r}, '
            f'expected {FORMAT!r}). {MAKE_ONE}'
        )
    weights.require_numbers(tensors, path)
    return unwrapped(tensors), header | _decoded(header, path)


def _decoded(header: dict[str, str], path: Path) -> dict[str, Any]:
    """The entries that are stored as JSON."""
    of_dict = ('trunk', 'preprocessing', 'config', 'none_of_these')
    kinds = dict.fromkeys(of_dict, dict) | dict(trunk_fingerprint=list, labels=list)
    try:
        found = {key: json.loads(header[key]) for key in kinds if key in header}
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: its metadata are damaged: {error}. {MAKE_ONE}') from None
    wrong = [key for key, value in found.items() if not isinstance(value, kinds[key])]
    if wrong:
        raise ValueError(f'{path}: its {wrong[0]} must be a {kinds[wrong[0]].__name__}. {MAKE_ONE}')
    return found


def with_whole_paths(config: Config) -> Config:
    """The config with pretrained files named as they are found from any folder.

    A published file by its known name, others by their whole path.
    """
    config = deepcopy(config)
    stack: list[Any] = [config.model]
    while stack:
        value = stack.pop()
        if isinstance(value, list | tuple):
            stack += value
        elif isinstance(value, dict):
            if isinstance(value.get('checkpoint'), str):
                value['checkpoint'] = _whole(value['checkpoint'])
            stack += value.values()
    return config


def _whole(checkpoint: str) -> str:
    path = Path(checkpoint).expanduser()
    if not path.exists():
        return checkpoint
    return weights.known_name(path) or str(path.absolute())
