"""Adapter files with LoRA from and to folders of the library peft."""

from pathlib import Path

from mmengine.config import Config
from torch import nn

from ..engine.tuned_checkpoint import write_adapter
from ..models.lora_files import load_peft, read_peft_tensors, save_peft
from ..models.lora_folding import encoders_with_lora
from ..models.lora_settings import CONFIG, read_settings
from .adapter_model import read_model
from .building import build_model, config_of

ENCODERS = ('backbone.trunk', 'text_tower', 'cls_head.text_tower')


def folder_of_adapter(
    adapter: str | Path, folder: str | Path, only: str | None = None, checkpoint: str | None = None
) -> None:
    """Write what an adapter file has trained as peft does; see :func:`save_peft`.

    Args:
        adapter: a file that `mmstadapter fit` or `mmstadapter publish` wrote.
        folder: to write.
        only: an encoder to write alone, ``'backbone.trunk'``.
        checkpoint: the trunk's pretrained file or known name; see :func:`trunk_file` if None.

    Raises:
        ValueError: without LoRA, or if something is trained that peft's files cannot hold.
    """
    model = read_model(adapter, checkpoint).model
    save_peft(model if only is None else _part(model, only), folder)


def adapter_of_folder(
    folder: str | Path, out: str | Path, config: str, checkpoint: str | None = None
) -> None:
    """Write the model of a config with the LoRA of a folder as an adapter file.

    Args:
        folder: of peft, for the whole model or for its trunk alone.
        out: the .safetensors file to write.
        config: path or shipped name.
        checkpoint: the trunk's pretrained file or known name instead of the config's.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: see :func:`load_peft`.
    """
    _, built = config_of(config)
    if checkpoint is not None:
        built.model.backbone.trunk.checkpoint = checkpoint
    is_whole = _set_lora(built, Path(folder))
    model = build_model(built.model, pretrained=True, scope=built.get('default_scope', 'mmaction'))
    load_peft(model if is_whole else model.backbone.trunk, folder)
    write_adapter(out, model, built)


def _set_lora(config: Config, folder: Path) -> bool:
    """Give encoders without ``lora`` the folder's; whether its names are those of a whole model."""
    settings, names = read_settings(folder / CONFIG), read_peft_tensors(folder)
    is_whole = any(name.startswith(tuple(f'{e}.' for e in ENCODERS)) for name in names)
    for encoder in ENCODERS if is_whole else ENCODERS[:1]:
        place, prefix = config.model, f'{encoder}.' if is_whole else ''
        for key in encoder.split('.'):
            place = place.get(key) or {}
        lora = settings.options(
            {n.removeprefix(prefix): t for n, t in names.items() if n.startswith(prefix)}
        )
        if place and lora and place.get('lora') is None:
            place.lora = lora
    return is_whole


def _part(model: nn.Module, name: str) -> nn.Module:
    found = encoders_with_lora(model)
    if name not in found:
        raise ValueError(f'--only: must be among {", ".join(found) or "none"}, got {name}.')
    return found[name]
