"""Which keyword arguments a registered class or function reads."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from torch import nn

_TAKES_NOTHING = (object, nn.Module)  # Module's signature has **kwargs, and refuses them
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_READERS = ('pop', 'get', 'setdefault')


class Anything(Exception):
    """A ``**kwargs`` whose way cannot be followed: any name may be read."""


@cache
def accepted(factory: Callable) -> frozenset[str] | None:
    """Names of all keyword arguments, or None where any name may be read.

    ``**kwargs`` are followed: to the next constructor of the class's bases, to the class or
    function they are handed on to, or to the names taken out of them one by one. A constructor
    that keeps them, or hands them to something that is not found, may read any name.
    """
    try:
        return frozenset(_of_class(factory) if inspect.isclass(factory) else _of(factory, ()))
    except (Anything, TypeError, ValueError, OSError, SyntaxError):
        return None


def named(factory: Callable) -> set[str]:
    """The keyword arguments that are in the signature by name."""
    try:
        return {
            p.name for p in inspect.signature(factory).parameters.values() if p.kind in _BY_KEYWORD
        }
    except (TypeError, ValueError):
        return set()


def _of_class(cls: type) -> set[str]:
    return _of_bases(cls.__mro__)


def _of_bases(classes: Sequence[type]) -> set[str]:
    """Of the first constructor among some classes, in the order of inheritance."""
    for i, cls in enumerate(classes):
        if cls in _TAKES_NOTHING:
            break
        if '__init__' in vars(cls):
            return _of(vars(cls)['__init__'], classes[i + 1 :])
    return set()


def _of(function: Callable, bases: Sequence[type]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    names = {p.name for p in parameters if p.kind in _BY_KEYWORD} - {'self'}
    stars = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
    if not stars:
        return names
    further = _further(inspect.unwrap(function), stars[0], bases)
    if further is None and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise Anything  # (*args, **kwargs), neither read: something stands in for another
    return names | (further or set())


def _further(function: Any, star: str, bases: Sequence[type]) -> set[str] | None:
    """The names that a function reads from its ``**star``; None where it never looks."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == star]
    return set().union(*(_use(n, parents, function, bases) for n in uses)) if uses else None


def _use(node: ast.Name, parents: dict, function: Any, bases: Sequence[type]) -> set[str]:
    """The names that one mention of ``**kwargs`` reads."""
    parent = parents[node]
    above = parents.get(parent)
    if isinstance(parent, ast.keyword) and parent.arg is None and isinstance(above, ast.Call):
        return _of_call(above, function, bases)
    if isinstance(parent, ast.Attribute) and parent.attr in _READERS:
        return _literal(above.args[0]) if isinstance(above, ast.Call) and above.args else set()
    if isinstance(parent, ast.Subscript):
        return _literal(parent.slice)
    if isinstance(parent, ast.Compare) and isinstance(parent.left, ast.Constant):
        return set()  # 'name' in kwargs
    raise Anything


def _literal(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    raise Anything


def _of_call(call: ast.Call, function: Any, bases: Sequence[type]) -> set[str]:
    """What a call that hands ``**kwargs`` on may get from them: not what it is given besides."""
    names = _target(call.func, function, bases)
    return names - {keyword.arg for keyword in call.keywords if keyword.arg}


def _target(target: ast.expr, function: Any, bases: Sequence[type]) -> set[str]:
    if ast.unparse(target) == 'super().__init__':
        return _of_bases(bases)
    if isinstance(target, ast.Attribute) and target.attr == '__init__':
        target = target.value
    found = _look_up(target, function)
    return _of_class(found) if inspect.isclass(found) else _of(found, ())


def _look_up(target: ast.expr, function: Any) -> Any:
    """What a name, or an attribute of a module, stands for in a function."""
    if isinstance(target, ast.Attribute):
        owner = _look_up(target.value, function)
        if inspect.ismodule(owner) and hasattr(owner, target.attr):
            return getattr(owner, target.attr)
    elif isinstance(target, ast.Name) and target.id in function.__globals__:
        return function.__globals__[target.id]
    raise Anything
