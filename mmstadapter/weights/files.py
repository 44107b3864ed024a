"""Read the tensors of a weights file, whatever its container, executing nothing."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .containers import kind_of, read_content, read_index, refuse_expanded
from .lazy import MappedTensors

CONTAINERS = (
    'state_dict', 'model_state_dict', 'model_state', 'model', 'target_encoder', 'module'
)  # fmt: skip
LISTED = 'classifiers'  # under which V-JEPA 2 keeps the state dicts of its probes, in a list
WRAPPER, COMPILED = 'module.', '_orig_mod'  # names of what DDP and torch.compile wrap


def open_tensors(path: str | Path) -> Mapping[str, Tensor]:
    """The same as `read_tensors` for those who take one tensor at a time and keep none.

    However large the file, about a gigabyte of it is in memory at once. A pickle of torch
    before 1.6, which cannot be mapped, is read whole.
    """
    path = Path(path)
    if not path.is_file() or kind_of(path) == 'pickle':
        return read_tensors(path)
    return MappedTensors(lambda: read_tensors(path))


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor, from safetensors, a TorchScript archive, a .pt/.pth file or shards.

    Which of them a file is, its content tells. Pickles are read with ``weights_only=True``,
    archives by `read_torchscript`; neither runs code of the file. Tensors are mapped from
    the file where its format allows, so what is never touched takes no memory. A state dict
    is looked for under the names of `CONTAINERS`, such as ``state_dict`` and ``model``; what
    wrappers put before its names is taken off, see `unwrapped`. Several in a list under
    ``classifiers`` are named ``classifiers.<i>.<name>``, one alone by its own names. Of a
    checkpoint in shards the path is that of its index, a JSON file beside which they lie.

    Raises:
        FileNotFoundError: if there is no such file, or a shard is not there.
        ValueError: if the file cannot be read so, or holds something else than tensors, or
            the shards are not those of the index.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'read_tensors: no file {path}.')
    return unwrapped(_read_shards(path) if kind_of(path) == 'index' else _read_one(path))


def _read_one(path: Path) -> dict[str, Tensor]:
    content = read_content(path, mapped=True)
    if not isinstance(content, Mapping):
        raise ValueError(
            f'read_tensors: {path} must hold a dict of tensors, got {type(content).__name__}. '
            'Save model.state_dict() instead.'
        )
    listed = content.get(LISTED)
    if isinstance(listed, list) and listed and all(isinstance(part, Mapping) for part in listed):
        parts = [unwrapped(_only_tensors(part, path)) for part in listed]
        return numbered(parts) if len(parts) > 1 else parts[0]
    return _only_tensors(_unwrap(content), path)


def numbered(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """State dicts of a list as one."""
    return {f'{LISTED}.{i}.{n}': t for i, part in enumerate(parts) for n, t in part.items()}


def listed(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The reverse of `numbered`, as DistributedDataParallel names them; of one its own names."""
    if not all(name.startswith(f'{LISTED}.') for name in tensors):
        return [{WRAPPER + name: tensor for name, tensor in tensors.items()}]
    parts: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        _, number, inner = name.split('.', 2)
        parts.setdefault(int(number), {})[WRAPPER + inner] = tensor
    return [parts[i] for i in sorted(parts)]


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all shards, which must be those that the index lists."""
    shard_of = read_index(index)
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


def _unwrap(content: Mapping) -> Mapping:
    """The state dict inside a training checkpoint."""
    inner = next((content[k] for k in CONTAINERS if isinstance(content.get(k), Mapping)), None)
    return content if inner is None else _unwrap(inner)


def _only_tensors(content: Mapping, path: Path) -> dict[str, Tensor]:
    others = {
        name: value.layout if isinstance(value, Tensor) else type(value).__name__
        for name, value in content.items()
        if not (isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta)
        or not isinstance(name, str)
    }
    if others or not content:
        raise ValueError(
            f'read_tensors: {path} must hold dense tensors by name, or a dict of them under one of '
            f'{", ".join(CONTAINERS)}; got {dict(list(others.items())[:5]) or "nothing"}.'
        )
    tensors = {name: tensor.detach() for name, tensor in content.items()}
    refuse_expanded(tensors, path, path.stat().st_size)
    return tensors


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under the names of the model itself, not of what wrapped it when it was saved.

    ``torch.compile`` puts ``_orig_mod.`` before the names of whatever part it compiles,
    DistributedDataParallel ``module.`` before all.

    Raises:
        ValueError: if two names become one.
    """
    names = {name: '.'.join(p for p in name.split('.') if p != COMPILED) for name in tensors}
    while names and all(name.startswith(WRAPPER) for name in names.values()):
        names = {name: bare.removeprefix(WRAPPER) for name, bare in names.items()}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise ValueError(
            f'{twice[0]} is there with and without {COMPILED}, the prefix of torch.compile '
            f'({len(twice)} such names). Save the state_dict() of one model.'
        )
    return {bare: tensors[name] for name, bare in names.items()}
