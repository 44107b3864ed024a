"""Modules that somebody imports for one name, read when that name is used."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class LateModule(ModuleType):
    """Stands for a module that is not imported yet; who asks it for anything gets the real one's.

    Args:
        name: of the module.
        known: what it has itself.
    """

    def __init__(self, name: str, known: dict[str, Any]) -> None:
        super().__init__(name)
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):  # what Python asks of every module
            raise AttributeError(name)
        return getattr(real(self.__name__), name)


def real(name: str) -> ModuleType:
    """The module itself, whatever stands in its place."""
    if isinstance(sys.modules.get(name), LateModule):
        del sys.modules[name]
    return importlib.import_module(name)


@contextmanager
def imported_late(name: str, **known: Any) -> Iterator[None]:
    """Within it, ``from NAME import KNOWN`` reads no file and gives what is told here."""
    sys.modules[name] = stand_in = LateModule(name, known)
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


class LateBase:
    """Base of MMEngine's ZeroRedundancyOptimizer until one is built, which has PyTorch's."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Give the class its base; Python then calls its ``__init__``."""
        for kind in cls.__mro__:
            if LateBase in kind.__bases__:
                optimizer = real('torch.distributed.optim').ZeroRedundancyOptimizer
                new = staticmethod(lambda cls, *args, **kwargs: object.__new__(cls))
                setattr(kind, '__new__', new)  # noqa: B010  (mypy knows no other way)
                kind.__bases__ = tuple(optimizer if b is LateBase else b for b in kind.__bases__)
        return object.__new__(cls)


class LateTable(dict):
    """A registry's classes, some of whose modules are imported when they are looked for.

    Args:
        table: those that are there.
        late: the module that registers a class, by its name.
        rest: registers classes whose names are not known, when a name is not found.
    """

    def __init__(
        self,
        table: dict[str, Any],
        late: dict[str, str],
        rest: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(table)
        self.late, self.rest = dict(late), rest

    def __contains__(self, name: object) -> bool:
        self._fill(name)
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        self._fill(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of every dict."""
        return self[name] if name in self else default  # noqa: SIM401  (this is `get`)

    def _fill(self, name: object) -> None:
        module = self.late.pop(name, None)  # type: ignore[call-overload]
        if module is not None:
            real(module)
        elif self.rest is not None and not super().__contains__(name):
            rest, self.rest = self.rest, None
            rest()


def given_late(package: ModuleType, name: str, module: str) -> None:
    """Let a package give a name of one of its modules that is imported only then."""
    delattr(package, name)

    def __getattr__(asked: str) -> Any:  # noqa: N807  (of a module)
        if asked != name:
            raise AttributeError(f'module {package.__name__!r} has no attribute {asked!r}')
        found = getattr(real(module), name)
        setattr(package, name, found)
        return found

    vars(package)['__getattr__'] = __getattr__
