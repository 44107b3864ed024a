"""A checkpoint of a whole model, read as data and looked through before it is used."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.runner.checkpoint import _load_checkpoint
from torch import Tensor, nn

from ..weights import require_numbers
from ..weights.files import COMPILED, unwrapped

EXTRA = '_extra_state'  # what modules keep beside tensors


def read_checkpoint(filename: str, map_location: Any = None) -> dict[str, Any]:
    """A checkpoint with its weights under ``state_dict``, by the names of a bare model.

    Nothing in the file is executed: it is read as all files of weights are
    (`engine.checkpoint_files`), and the old config that MMEngine would run as Python
    (``meta['config']``) is left out.

    Args:
        filename: any file or address that MMEngine loads.
        map_location: where to, as for ``torch.load``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or holds no weights, or some that are not numbers.
    """
    content = _load_checkpoint(filename, map_location)
    state = content.get('state_dict', content) if isinstance(content, dict) else content
    if not _is_state(state):
        raise ValueError(
            f'{filename} holds no weights: a checkpoint needs tensors by name under state_dict, '
            f'this has {_describe(state)}. Give a file that training or `mmstadapter publish` '
            'wrote.'
        )
    if state is content:  # a state dict alone
        require_numbers({n: t for n, t in state.items() if isinstance(t, Tensor)}, filename)
        content = dict(state_dict=OrderedDict(unwrapped(state)))
    if isinstance(content.get('meta'), dict):
        content['meta'].pop('config', None)
    return content


def _is_state(state: Any) -> bool:
    """Whether these are tensors by name, and not none."""
    entries = state.items() if isinstance(state, Mapping) else ()
    return bool(entries) and all(
        isinstance(name, str) and (isinstance(value, Tensor) or name.endswith(EXTRA))
        for name, value in entries
    )


def _describe(state: Any) -> str:
    if not isinstance(state, Mapping):
        return type(state).__name__
    others = {str(k): type(v).__name__ for k, v in state.items() if not isinstance(v, Tensor)}
    return str(dict(list(others.items())[:5])) if others else 'an empty one'


def as_named_in(model: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The names of a bare model as a model has them whose parts are compiled."""
    compiled = {
        '.'.join(part for part in name.split('.') if part != COMPILED): name
        for name, _ in model.named_modules()
        if COMPILED in name.split('.')
    }
    if not compiled:
        return state
    renamed = OrderedDict()
    for name, tensor in state.items():
        module, _, leaf = name.rpartition('.')
        renamed[f'{compiled[module]}.{leaf}' if module in compiled else name] = tensor
    return renamed


@contextmanager
def belongs(checkpoint: str) -> Iterator[None]:
    """Say whose file does not fit a model, and what to do about it."""
    try:
        yield
    except (RuntimeError, KeyError) as error:
        raise RuntimeError(
            f'{checkpoint} does not belong to this model: {error}\nGive the config it was trained '
            'with, and the --cfg-options that changed the model then.'
        ) from error
