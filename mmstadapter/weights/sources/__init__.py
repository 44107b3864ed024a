"""One file a source: how those who publish weights name things, each in a tuple ``SOURCES``.

A file that is put here is known from then on; see `Source` for what it states. The command's
`NAMES` (`commands/convert.py`) list the names for those who ask for help.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from torch import Tensor

from ..tables import KINDS, Source

FIRST = ('openai_clip', 'open_clip', 'hf_clip', 'eva_clip')  # a file that fits two is the first's


def gather() -> dict[str, Source]:
    """By name: image towers, whole models, text towers."""
    files = sorted(m.name for m in iter_modules(__path__) if m.name not in FIRST)
    modules = (import_module(f'{__name__}.{file}') for file in (*FIRST, *files))
    sources = (source for module in modules for source in module.SOURCES)
    return {s.name: s for s in sorted(sources, key=lambda source: list(KINDS).index(source.kind))}


SOURCES = gather()


def to_ours(source: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a source in `SOURCES` -> ours; see `Source.to_ours`."""
    return _find(source).to_ours(tensors)


def from_ours(source: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> that of a source in `SOURCES`; see `Source.from_ours`."""
    return _find(source).from_ours(tensors)


def _find(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f'weights: unknown source {name!r}; choose from {", ".join(SOURCES)}.')
    return SOURCES[name]
