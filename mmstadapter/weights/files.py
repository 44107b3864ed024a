"""Read the tensors of a weights file, whatever its container, executing nothing."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .lazy import MappedTensors
from .torchscript import is_torchscript, read_torchscript

CONTAINERS = ('state_dict', 'model_state_dict', 'model')
WRAPPER = 'module.'  # DistributedDataParallel's name for what it wraps
INDEX = '.index.json'  # how the list of a checkpoint's shards ends


def open_tensors(path: str | Path) -> Mapping[str, Tensor]:
    """The same as `read_tensors` for those who take one tensor at a time and keep none.

    However large the file, about a gigabyte of it is in memory at once. A pickle of torch
    before 1.6, which cannot be mapped, is read whole.
    """
    path = Path(path)
    mapped = path.name.endswith((INDEX, '.safetensors')) or zipfile.is_zipfile(path)
    return MappedTensors(lambda: read_tensors(path)) if mapped else read_tensors(path)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor, from safetensors, a TorchScript archive, a .pt/.pth file or shards.

    Pickles are read with ``weights_only=True``, archives by `read_torchscript`;
    neither runs code of the file. Tensors are mapped from the file where its format
    allows, so what is never touched is never read. A state dict is looked for under
    ``state_dict``, ``model_state_dict`` and ``model``, and ``module.`` is taken off
    if every name has it. Of a checkpoint in shards the path is that of its
    ``*.index.json``, beside which they lie.

    Raises:
        FileNotFoundError: if there is no such file, or a shard is not there.
        ValueError: if the file cannot be read so, or holds something else than tensors, or
            the shards are not those of the index.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'read_tensors: no file {path}.')
    return _strip_wrapper(_read_shards(path) if path.name.endswith(INDEX) else _read_one(path))


def _read_one(path: Path) -> dict[str, Tensor]:
    content = _read(path)
    if not isinstance(content, Mapping):
        raise ValueError(
            f'read_tensors: {path} must hold a dict of tensors, got {type(content).__name__}. '
            'Save model.state_dict() instead.'
        )
    return _only_tensors(_unwrap(content), path)


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all shards, which must be those that the index lists."""
    shard_of = _read_index(index)
    absent = sorted({s for s in shard_of.values() if not index.with_name(s).is_file()})
    if absent:
        raise FileNotFoundError(
            f'read_tensors: {index} lists {len(set(shard_of.values()))} shards, beside it there '
            f'is no {", ".join(absent[:4])}. Put all of them into {index.parent}.'
        )
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(shard_of.values())):
        held = _read_one(index.with_name(shard))
        listed = {name for name, file in shard_of.items() if file == shard}
        if held.keys() != listed:
            raise ValueError(
                f'read_tensors: {shard} is not the shard that {index} describes; they differ in '
                f'{sorted(held.keys() ^ listed)[:4]}. Fetch the checkpoint again.'
            )
        tensors |= held
    return tensors


def _read_index(index: Path) -> dict[str, str]:
    """Name -> file name of the shard that holds it."""
    try:
        shard_of = json.loads(index.read_text(encoding='utf-8'))['weight_map']
        if shard_of and all(Path(file).name == file for file in shard_of.values()):
            return dict(shard_of)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ValueError(
        f'read_tensors: {index} is no index of shards. It must be JSON with a weight_map, from '
        'tensor names to names of files beside it.'
    )


def _read(path: Path) -> Any:
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        if not zipfile.is_zipfile(path):  # torch's format before 1.6, which cannot be mapped
            return torch.load(path, map_location='cpu', weights_only=True)
        if is_torchscript(path):
            return read_torchscript(path)
        return torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except SafetensorError as error:
        raise ValueError(
            f'read_tensors: {path} is not a whole safetensors file: {error}'
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged or foreign pickle may fail anywhere
        if isinstance(error, OSError) and error.filename is not None:
            raise  # from the system; for half an archive torch raises a nameless one
        raise ValueError(
            f'read_tensors: {path} is no file of plain tensors, or is damaged. Save its '
            f'state_dict() alone, best as .safetensors, where you trust it. Reason: {error}'
        ) from error


def _unwrap(content: Mapping) -> Mapping:
    """The state dict inside a training checkpoint."""
    inner = next((content[k] for k in CONTAINERS if isinstance(content.get(k), Mapping)), None)
    return content if inner is None else _unwrap(inner)


def _only_tensors(content: Mapping, path: Path) -> dict[str, Tensor]:
    others = {
        name: value.layout if isinstance(value, Tensor) else type(value).__name__
        for name, value in content.items()
        if not (isinstance(value, Tensor) and value.layout is torch.strided)
        or not isinstance(name, str)
    }
    if others or not content:
        raise ValueError(
            f'read_tensors: {path} must hold dense tensors by name, or a dict of them under one of '
            f'{", ".join(CONTAINERS)}; got {dict(list(others.items())[:5]) or "nothing"}.'
        )
    return {name: tensor.detach() for name, tensor in content.items()}


def _strip_wrapper(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(name.startswith(WRAPPER) for name in tensors):
        return tensors
    return {name.removeprefix(WRAPPER): tensor for name, tensor in tensors.items()}
