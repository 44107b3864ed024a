"""Where the pretrained file of an adapter's trunk lies, after one or the other has moved."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor

from .. import weights
from ..weights.containers import kind_of

FINGERPRINT = 'backbone.trunk.fingerprint'


def trunk_file(
    trunk: Mapping[str, Any], tensors: Mapping[str, Tensor], header: Mapping[str, Any], path: Path
) -> str | None:
    """The file or name to read an adapter's trunk from, None if the adapter names none.

    What the adapter says, if it is there. Else the file where it lay beside the adapter, one
    of its name in the adapter's folder, or any in that folder whose fingerprint is the trunk's;
    which one it is is logged.

    Args:
        trunk: config of the trunk, checked.
        tensors, header: of the adapter file, as :func:`read_adapter` gives them.
        path: the adapter file.

    Raises:
        FileNotFoundError: if it is nowhere, with the ways out.
    """
    stored = trunk.get('checkpoint')
    if stored is None or weights.is_source(stored):
        return stored
    mark = tensors.get(FINGERPRINT)
    for candidate in _candidates(stored, header, path.absolute()):
        if mark is not None and _is_trunk(trunk, candidate, mark):
            print_log(f'{path}: its trunk is not at {stored}; it is {candidate}', 'current')
            return str(candidate)
    raise FileNotFoundError(
        f'{path}: the file of its trunk is not where it was, {stored}, and none beside the adapter '
        f'has the same weights. Put it there, or say where it is; known names are '
        f'{", ".join(weights.KNOWN)}.'
    )


def _candidates(stored: str, header: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Files that may be it, the likeliest first."""
    folder = path.parent
    likely = [folder / Path(stored).name]
    if isinstance(header.get('trunk_beside'), str):
        likely.insert(0, folder / header['trunk_beside'])
    others = (file for file in sorted(folder.iterdir()) if file != path)
    for file in dict.fromkeys([*likely, *others]):
        if file.is_file() and _holds_weights(file):
            yield file


def _holds_weights(file: Path) -> bool:
    try:
        return bool(kind_of(file))
    except (OSError, ValueError):
        return False


def _is_trunk(trunk: Mapping[str, Any], file: Path, mark: Tensor) -> bool:
    """Whether a file gives the weights of that fingerprint."""
    model = MODELS.build(dict(trunk) | dict(checkpoint=str(file)))
    try:
        model.load_pretrained()
    except (KeyError, OSError, RuntimeError, ValueError):
        return False
    return torch.equal(model.fingerprint, mark.cpu())
