"""A checkpoint of a whole model, read as data and looked through before it is used."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.runner.checkpoint import _load_checkpoint
from torch import Tensor

from ..weights import require_numbers

COMPILED = '_orig_mod.'  # what torch.compile puts before the names of what it compiles
WRAPPED = 'module.'  # what DistributedDataParallel puts there
EXTRA = '_extra_state'  # what modules keep beside tensors


class UnreadableCheckpoint(RuntimeError):
    """A file that is cut, damaged, or no file of plain tensors."""


def read_checkpoint(filename: str, map_location: Any = None) -> dict[str, Any]:
    """A checkpoint with its weights under ``state_dict``, by the names of a bare model.

    Nothing in the file is executed: pickles hold tensors and plain values only, and the old
    config that MMEngine would run as Python (``meta['config']``) is left out.

    Args:
        filename: any file or address that MMEngine loads.
        map_location: where to, as for ``torch.load``.

    Raises:
        FileNotFoundError: if there is no such file.
        UnreadableCheckpoint: if it is damaged, or holds more than tensors and plain values.
        ValueError: if it holds no weights, or some that are not numbers.
    """
    content = _read(filename, map_location)
    content = content if 'state_dict' in content else dict(state_dict=content)
    state = content['state_dict']
    if not _is_state(state):
        raise ValueError(
            f'{filename} holds no weights: a checkpoint needs tensors by name under state_dict, '
            f'this has {_describe(state)}. Give a file that training or `mmstadapter publish` '
            'wrote.'
        )
    content['state_dict'] = bare_names(state)
    require_numbers(_tensors(state), filename)
    averages = content.get('ema_state_dict')
    if isinstance(averages, Mapping):
        content['ema_state_dict'] = bare_names(averages, wrapped='')
        require_numbers(_tensors(averages), f'{filename} (averages)')
    if isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


def _read(filename: str, map_location: Any) -> dict:
    try:
        content = _load_checkpoint(filename, map_location)
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # a damaged or foreign pickle may fail anywhere
        if isinstance(error, OSError) and error.filename is not None:
            raise  # from the system
        raise UnreadableCheckpoint(
            f'{filename} cannot be read as a checkpoint: it is cut off, damaged, or holds more '
            f'than tensors and plain values ({_reason(error)}). Take another copy of it, or '
            'the checkpoint before it.'
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{filename} is no checkpoint: it must hold a dict with a state_dict, got '
            f'{type(content).__name__}. Save model.state_dict() instead of the model.'
        )
    return content


def _reason(error: Exception) -> str:
    """Why, in a line, without torch's advice to load the file unsafely."""
    forbidden = re.search(r'unsupported .*?GLOBAL:? ([\w.]+)', str(error), re.I)
    if forbidden:
        return f'it asks for {forbidden[1].rstrip(".")}'
    text = str(error).strip().partition('\n')[0]
    kind = type(error).__name__
    return kind if not text or 'weights' in text.lower() else f'{kind}: {text}'


def _is_state(state: Any) -> bool:
    """Whether these are tensors by name, and not none."""
    return (
        isinstance(state, Mapping)
        and bool(state)
        and all(
            isinstance(name, str) and (isinstance(value, Tensor) or name.endswith(EXTRA))
            for name, value in state.items()
        )
    )


def _describe(state: Any) -> str:
    if not isinstance(state, Mapping):
        return type(state).__name__
    others = {str(k): type(v).__name__ for k, v in state.items() if not isinstance(v, Tensor)}
    return str(dict(list(others.items())[:5])) if others else 'an empty one'


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def bare_names(state: Mapping[str, Any], wrapped: str = WRAPPED) -> Mapping[str, Any]:
    """The same tensors without what torch.compile and DistributedDataParallel put before names.

    Args:
        state: a state dict.
        wrapped: what is taken off if every name begins with it; nothing if empty.
    """
    names = {name: name.replace(COMPILED, '') for name in state}
    while wrapped and all(new.startswith(wrapped) for new in names.values()):
        names = {name: new.removeprefix(wrapped) for name, new in names.items()}
    if all(name == new for name, new in names.items()) or len(set(names.values())) < len(names):
        return state
    return OrderedDict((new, state[name]) for name, new in names.items())


@contextmanager
def belongs(checkpoint: str) -> Iterator[None]:
    """Say whose file does not fit a model, and what to do about it."""
    try:
        yield
    except UnreadableCheckpoint:
        raise
    except (RuntimeError, KeyError) as error:
        raise RuntimeError(
            f'{checkpoint} does not belong to this model: {error}\nGive the config it was trained '
            'with, and the --cfg-options that changed the model then.'
        ) from error
