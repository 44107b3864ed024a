"""Configs that come out of adapter files: data from anybody, so checked before they build."""

import re
from typing import Any

from mmaction.registry import MODELS, TOKENIZER, TRANSFORMS
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import Registry

from ..models.pretrained import Pretrained
from ..printing import shown
from ..registry import CHILDREN

SCOPES = ('mmstadapter', 'mmaction', 'mmengine')
# These load further files when a model is built or initialised, some of them as pickles.
LOADS = re.compile(r'init_cfg|load_from|custom_imports|_base_|\w*pretrained\w*')
PLACE = re.compile(r'(\w+_)?(path|file|dir|folder|root|url)|\w*checkpoint\w*')  # of a file
ELSEWHERE_STARTS = ('/', '~', './', '../', 'hf-hub:', 'local-dir:')
PARTS = ('model', 'test_dataloader', 'val_dataloader')
ELSEWHERE = {'tokenizer': TOKENIZER}  # parts of a model that are in a registry of their own


def stored_config(header: dict[str, Any], path: str) -> tuple[dict, list[dict]]:
    """Model and test pipeline out of an adapter file's metadata; builds and imports nothing.

    MMEngine imports what an unknown ``type`` names (``'os.system'``), so every ``type`` must be
    a registered model part or pipeline step.

    Args:
        header: metadata as :func:`read_adapter` gives it.
        path: the file, for messages.

    Raises:
        ValueError: if something is missing, not registered, or would load other files.
    """
    whole = header.get('config') or {}
    try:
        config = Config({key: whole[key] for key in PARTS if key in whole})
        model = config.model.to_dict()
        dataset = (config.get('test_dataloader') or config.val_dataloader).dataset
        pipeline = [dict(step) for step in dataset.to_dict()['pipeline']]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path}: its config lacks {error}; prediction needs the model and the pipeline of '
            'the test loader. Publish it again with the config that tests it.'
        ) from error
    if whole.get('custom_imports'):
        imports = f'{whole["custom_imports"]!r}'
        print_log(f'{shown(path)}: its config imports {shown(imports)}; nothing of it is imported')
    _check(model, MODELS, 'model', path)
    _check(pipeline, TRANSFORMS, 'pipeline', path)
    return _tuples(model), pipeline


def _check(value: Any, registry: Registry, where: str, path: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == 'type' and not _registered(inner, registry):
                raise ValueError(
                    f'{path}: {where}.type is {inner!r}, which is no registered '
                    f'{registry.name}. Import the package that registers it first, if you '
                    'trust it; names of other Python objects are never followed.'
                )
            if key == '_scope_' and inner not in SCOPES:  # MMEngine imports the package it names
                raise ValueError(
                    f'{path}: {where}._scope_ is {inner!r}; known are {", ".join(SCOPES)}. Remove '
                    'it from the config and publish it again.'
                )
            if inner and _reaches_out(key, inner) and not _is_own_checkpoint(value, key, registry):
                raise ValueError(
                    f'{path}: {where}.{key} = {inner!r} would load other files; an adapter file '
                    'may not. Train and publish without it.'
                )
            _check(inner, ELSEWHERE.get(key, registry), f'{where}.{key}', path)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check(inner, registry, f'{where}[{index}]', path)


def _reaches_out(key: str, value: Any) -> bool:
    """Whether a setting names a file, or has one read."""
    if LOADS.fullmatch(key) or PLACE.fullmatch(key):
        return bool(LOADS.fullmatch(key)) or not isinstance(value, bool | int | float)
    text = value if isinstance(value, str) and key != 'type' else ''
    return text.startswith(ELSEWHERE_STARTS) or '://' in text


def _is_own_checkpoint(part: dict, key: str, registry: Registry) -> bool:
    """Whether it is the pretrained file of a trunk or text tower of ours, which is read as data."""
    if key != 'checkpoint' or not _registered(part.get('type'), registry):
        return False
    kind = registry.get(part['type'])
    own = isinstance(kind, type) and issubclass(kind, Pretrained)
    return own and isinstance(part[key], str)


def _registered(name: Any, registry: Registry) -> bool:
    """Whether a name is in the tables of MMAction2, of MMEngine, or of our scope."""
    if not isinstance(name, str):
        return False
    scope, _, bare = name.rpartition('.')
    if scope not in ('', *SCOPES):
        return False
    registry.import_from_location()
    tables: list[Registry | None] = [registry, registry.parent]
    if scope == 'mmstadapter':
        tables.append(CHILDREN.get(_variable_name(registry)))
    return any(table is not None and bare in table.module_dict for table in tables)


def _tuples(value: Any) -> Any:
    """Lists of plain values as tuples: JSON has none, and MMAction2's heads ask for them."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    plain = not any(isinstance(inner, dict | list) for inner in value)
    return tuple(value) if plain else [_tuples(inner) for inner in value]


def _variable_name(registry: Registry) -> str:
    return {id(MODELS): 'MODELS', id(TOKENIZER): 'TOKENIZER'}.get(id(registry), 'TRANSFORMS')
