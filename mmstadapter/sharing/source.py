"""What is shared: a model, its config without what is of one machine alone, its figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from torch import nn

from .. import weights
from ..apis.adapter_model import read_model
from ..apis.as_module import test_steps
from ..apis.finished import Fitted
from ..engine.tuned_checkpoint import with_whole_paths
from ..models.pretrained import Pretrained
from .figures import read_results

KEPT = (  # of a config: what says how the model was trained and is tested, and no file
    'auto_scale_lr', 'default_scope', 'model', 'optim_wrapper', 'param_scheduler', 'randomness',
    'test_cfg', 'train_cfg',
)  # fmt: skip
FIGURES = ('confusion.json', 'retrieval.json')  # where a fit keeps them


class Source(NamedTuple):
    """A trained model with what is known of it."""

    model: nn.Module
    config: Config
    metadata: dict[str, Any]  # further entries of the adapter file
    results: dict[str, Any]


def source_of(
    given: str | Path | Fitted | nn.Module,
    checkpoint: str | Path | None = None,
    labels: Sequence[str] | None = None,
    results: Mapping[str, Any] | str | Path | None = None,
) -> Source:
    """Read an adapter file, or take a model of `create_model` or `from_pretrained`.

    Args:
        given: the model, or what `fit` gave, or an adapter file or its folder.
        checkpoint: of an adapter file, its trunk's pretrained file if it has moved.
        labels: names of the classes, instead of those that are stored.
        results: figures of a test; those that a fit left beside its adapter file if None.

    Raises:
        TypeError, ValueError: for something else; for a model without a config of plain values.
        FileNotFoundError, RuntimeError: see :func:`read_model`.
    """
    found = {} if results is None else read_results(results)
    if isinstance(given, nn.Module):
        model, config = given, _recipe(given)
        header = dict(labels=getattr(given, 'labels', None))
    else:
        path = weights.adapter_file(given.adapter if isinstance(given, Fitted) else given)
        model, _, _, header = read_model(path, checkpoint)
        config = Config(header['config'])
        found = found or _results_beside(path, header.get('labels'))
    names = header.get('labels') if labels is None else labels
    number = getattr(getattr(model, 'cls_head', None), 'num_classes', None)
    if names is not None and len(names) != number:
        raise ValueError(f'labels: {len(names)} names for a model of {number} classes.')
    metadata = dict(
        none_of_these=header.get('none_of_these'), labels=names and list(map(str, names))
    )
    kept = {key: value for key, value in metadata.items() if value is not None}
    return Source(model, reduced(config), kept, found)


def reduced(config: Config) -> Config:
    """What of a config is of the model and its protocol, and of no folder of this machine."""
    kept = {key: config[key] for key in KEPT if config.get(key) is not None}
    steps = test_steps(config)
    kept['test_dataloader'] = dict(dataset=dict(pipeline=steps))
    return Config(json.loads(json.dumps(with_whole_paths(Config(kept)).to_dict(), default=str)))


def _recipe(model: nn.Module) -> Config:
    recipe = getattr(model, 'recipe', None)
    if recipe is None:
        raise TypeError(
            f'{type(model).__name__}: only models of mmstadapter.create_model and from_pretrained '
            'know the config that builds them. Give one of these, or an adapter file of '
            '`mmstadapter publish`.'
        )
    if getattr(model, 'cls_head', True) is None:
        raise ValueError(
            'VideoClassifier: a model of features (num_classes=0) has no classifier to share. '
            'Make it with its number of classes.'
        )
    built = [key for key, part in _parts(recipe.model) if isinstance(part, nn.Module)]
    if built:
        raise ValueError(
            f'{type(model).__name__}: its {built[0]} was given built, so no config says how to '
            'build it. Give create_model its config, such as trunk=dict(type=..., checkpoint=...).'
        )
    return recipe


def _parts(config: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        yield prefix + key, value
        if isinstance(value, Mapping):
            yield from _parts(value, f'{prefix}{key}.')


def _results_beside(path: Path, labels: list[str] | None) -> dict[str, Any]:
    """Those of the fit that wrote an adapter file, if they are of the same classes."""
    file = next((f for name in FIGURES if (f := path.parent / name).is_file()), None)
    found = {} if file is None else read_results(file)
    return found if found.get('labels') == labels else {}


# ------------------------------------------------------------------------ pretrained files


def name_files(config: Config, trunk: str | None, include: bool) -> None:
    """Let a config name pretrained files as others find them, in place.

    Args:
        config: see :func:`reduced`.
        trunk: what others read in the place of files of this machine.
        include: whether the encoders' weights are written as well, so that none is read.

    Raises:
        ValueError: if a file of this machine is named and neither is wanted, or several are.
    """
    places = [part for _, part in _parts(dict(model=config.model)) if isinstance(part, dict)]
    places = [part for part in places if isinstance(part.get('checkpoint'), str)]
    if include:
        for part in places:
            part['checkpoint'] = None
        return
    own = [part for part in places if not is_public(part['checkpoint'])]
    files = sorted({part['checkpoint'] for part in own})
    if len(files) > 1 or (files and trunk is None):
        raise ValueError(
            f'the pretrained weights of this model are {" and ".join(files)}, which nobody else '
            "has. Say where the same weights are published, trunk='hf:OWNER/NAME' or one of "
            f'{", ".join(weights.KNOWN)} (--trunk); or put them into the adapter file, '
            'include_trunk=True (--include-trunk), if their licence allows it; or name the file '
            "that others are to put beside it, trunk='FILE.safetensors'."
        )
    for part in own:
        part['checkpoint'] = trunk


def is_public(checkpoint: str) -> bool:
    """Whether everybody can fetch it."""
    return checkpoint in weights.KNOWN or checkpoint.startswith(weights.PREFIX)


@contextmanager
def written_with_trunk(model: nn.Module, include: bool) -> Iterator[None]:
    """Let ``write_adapter`` write the encoders' frozen weights too; the model stays as it is."""
    encoders = [m for m in model.modules() if isinstance(m, Pretrained)] if include else []
    sources = [encoder.source for encoder in encoders]
    try:
        for encoder in encoders:
            encoder.source = 'state_dict'
        yield
    finally:
        for encoder, source in zip(encoders, sources, strict=True):
            encoder.source = source
