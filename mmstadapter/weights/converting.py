"""Renaming a weights file from one origin's names to another's, tensor by tensor."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .files import LISTED, listed
from .lazy import LazyTensors
from .saving import save_lazily, written_whole
from .sources import SOURCES
from .tables import KINDS, Source

OURS = 'mmstadapter'


def convert(tensors: Mapping[str, Tensor], origin: str, target: str) -> Mapping[str, Tensor]:
    """State dict under the names of ``origin`` -> under those of ``target``, made when asked for.

    Raises:
        ValueError: if one holds something else than the other, or lacks a part.
        KeyError: for a name without a counterpart.
    """
    named = [SOURCES[name] for name in (origin, target) if name != OURS]
    if len({source.kind for source in named}) > 1:
        what = ', '.join(f'{source.name} {KINDS[source.kind]}' for source in named)
        raise ValueError(
            f'{origin} and {target} do not hold the same: {what}. Convert each to mmstadapter.'
        )
    ours = tensors if origin == OURS else SOURCES[origin].lazily(tensors)
    if named and named[0].kind != 'model':  # a part of a tower is good for nothing
        _require_whole(named[0], ours)
    if target != OURS:
        return SOURCES[target].lazily_from_ours(ours)
    return without_trunk(ours) if named and named[0].part_of_trunk else ours


def _require_whole(source: Source, ours: Mapping[str, Tensor]) -> None:
    lacking = source.lacking(ours)
    if lacking:
        raise ValueError(
            f'the file is not whole: of {KINDS[source.kind]} it lacks {len(lacking)} tensors, '
            f'{", ".join(lacking[:4])}{" ..." if len(lacking) > 4 else ""}. Fetch it again.'
        )


def without_trunk(ours: Mapping[str, Tensor]) -> LazyTensors:
    """The tuned part alone; the trunk supplies the rest from its pretrained file."""
    names = [name for name in ours if not name.startswith('backbone.trunk.')]
    return LazyTensors.choose(ours, names, {})


def write(path: Path, tensors: Mapping[str, Tensor], target: str) -> None:
    """Write the file whole or not at all; a .pth in the form that ``target`` reads."""
    if path.suffix == '.safetensors':
        save_lazily(tensors, path, dict(format='pt'))
    else:
        own = {name: _alone(tensors[name]) for name in tensors}
        with written_whole(path) as part:
            torch.save(_container(own, target), part)


def _alone(tensor: Tensor) -> Tensor:
    """The tensor, copied if it is a part of something larger, which would be written with it."""
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def _container(tensors: dict[str, Tensor], target: str) -> dict:
    if target != OURS and SOURCES[target].container:
        name = SOURCES[target].container
        return {name: listed(tensors) if name == LISTED else tensors}
    if any(name.startswith('backbone.') for name in tensors):  # MMEngine's form
        return dict(meta=dict(converted_by='mmstadapter convert'), state_dict=tensors)
    return tensors


def report(tensors: Mapping[str, Tensor], written: Mapping[str, Tensor], origin: str) -> None:
    """Print how many tensors there were, which were left out, and how many there are."""
    print(f'{len(tensors)} tensors read, {len(written)} written')
    if origin == OURS:
        return
    for pattern, count in SOURCES[origin].left_out(tensors).items():
        print(f'  ignored {count}: {pattern}')
    if SOURCES[origin].part_of_trunk:
        print('  left out: the trunk, of which these files lack a part; it is read from')
        print('  model.backbone.trunk.checkpoint')
