"""Read the files that MMEngine takes as checkpoints as all weights are read: as data."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from .. import weights
from ..weights.containers import kind_of, read_content, read_safetensors
from ..weights.files import unwrapped

STATES = ('state_dict', 'ema_state_dict')


@CheckpointLoader.register_scheme(prefixes=('', r'.*\.safetensors$'), force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Let MMEngine load a file of weights of any kind wherever it takes a checkpoint.

    Folders with an adapter file and names at the hub (``hf:OWNER/NAME``) too, see
    `weights.adapter_file`. In the place of its own reader, which knows pickles alone, names no
    file that it cannot read, advises to load it unsafely, and unpacks whatever it is told to.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: if a name cannot be fetched.
        ValueError: with the file's name if it is damaged, is none of weights, would unpack to
            more than it can hold, or has weights that are not numbers.
    """
    path = weights.adapter_file(filename)
    if not path.is_file():
        raise FileNotFoundError(f'{filename} can not be found.')
    content = _content(path, map_location)
    if isinstance(content, dict):
        for key in (key for key in STATES if isinstance(content.get(key), Mapping)):
            content[key] = _named(content[key])
            tensors = {n: t for n, t in content[key].items() if isinstance(t, Tensor)}
            weights.require_numbers(tensors, path)
    return content


def _content(path: Path, map_location: Any) -> Any:
    """As MMEngine expects it: the weights under ``state_dict`` where there are others beside."""
    kind = kind_of(path)
    if kind == 'safetensors':
        tensors, header = read_safetensors(path, map_location)
        return dict(state_dict=OrderedDict(tensors), meta=dict(adapter=header))
    if kind in ('archive', 'pickle'):
        return read_content(path, map_location)
    return dict(state_dict=OrderedDict(weights.read_tensors(path)), meta={})


def _named(state: Mapping) -> Mapping:
    """Under the model's own names; as it is if it has them, since it may hold further facts."""
    bare = unwrapped(state)
    return state if bare.keys() == state.keys() else OrderedDict(bare)
