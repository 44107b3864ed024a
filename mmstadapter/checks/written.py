"""What the files of a config say at their top level, and which of it they use themselves."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mmengine.config import Config

_PLACEHOLDER = re.compile(r'\{\{\s*_base_\.(\w+)')  # '{{_base_.data_root}}', also within strings


@dataclass
class Written:
    """Top-level names of one config file.

    Attributes:
        path: the file.
        depth: 0 for the file that is run, 1 for what it inherits, ...
        names: what it assigns.
        used: what its own expressions read, inherited names included.
        keys: name -> all keys within what is assigned to it.
    """

    path: str
    depth: int
    names: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    keys: dict[str, set[str]] = field(default_factory=dict)


def read_chain(path: str | None) -> list[Written]:
    """The files of a config, itself first; empty where they cannot be followed.

    Configs in MMEngine's "pure Python" style (``with read_base():``) cannot: there every name may
    come from anywhere. Nor can one whose files are gone.
    """
    try:
        return _read(path, 0) if path and Path(path).suffix == '.py' else []
    except (OSError, SyntaxError, ValueError):
        return []


def _read(path: str, depth: int) -> list[Written]:
    if Config._is_lazy_import(path):
        raise ValueError(path)
    text = Path(path).read_text(encoding='utf-8')
    file = Written(path, depth)
    tree = ast.parse(text)
    _note(tree, file)
    for node in (node for node in tree.body if isinstance(node, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Name):
                file.keys.setdefault(target.id, set()).update(_keys(node.value))
    file.used.update(_PLACEHOLDER.findall(text))
    below = []
    for base in Config._get_base_files(path):
        below += _read(_of_package(base) if '::' in base else _beside(base, path), depth + 1)
    return [file, *below]


@cache
def _of_package(base: str) -> str:
    """The file of an inherited config of a package; MMEngine reads its whole model index."""
    return Config._get_cfg_path(base, '')[0]


def _beside(base: str, path: str) -> str:
    return Config._get_cfg_path(base, path)[0]


def _note(tree: ast.AST, file: Written) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            known = file.names if isinstance(node.ctx, ast.Store) else file.used
            known.add(node.id)
        elif isinstance(node, ast.Attribute) and _is_base(node.value):
            file.used.add(node.attr)
        elif isinstance(node, ast.Subscript) and _is_base(node.value):
            file.used.update(_text(node.slice))
        elif isinstance(node, ast.alias):
            file.names.add((node.asname or node.name).partition('.')[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            file.names.add(node.name)


def _keys(value: ast.expr) -> Iterator[str]:
    """dict(a=dict(b=1)), {'a': {'b': 1}} -> 'a', 'b'."""
    for node in ast.walk(value):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        for key in node.keys if isinstance(node, ast.Dict) else ():
            yield from _text(key) if key is not None else ()


def _is_base(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == '_base_'


def _text(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    return set()
