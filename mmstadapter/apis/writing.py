"""Configs as files to read: dumped by MMEngine, in lines of a hundred characters."""

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

STYLE = dict(
    based_on_style='pep8',
    column_limit=100,
    split_before_named_assigns=False,
    split_before_first_argument=True,
    disable_ending_comma_heuristic=True,
)


class Name(str):
    """A field of the config itself as a value: written without quotes."""

    __repr__ = str.__str__


def config_file(header: Iterable[str], *parts: Mapping[str, Any]) -> str:
    """The text of a config.

    Args:
        header: lines of its docstring.
        parts: its fields, each part in alphabetic order; a `Name` refers to an earlier part.
    """
    lines = [_plain(line) for line in header]
    docstring = '\n'.join(['"""' + lines[0], *lines[1:], '"""', ''])
    dumped = (Config(dict(part), format_python_code=False).pretty_text for part in parts)
    return '\n'.join([docstring, *(FormatCode(text, style_config=STYLE)[0] for text in dumped)])


def _plain(text: str) -> str:
    """Text that cannot end a docstring: class folders may have any name."""
    return text.replace('\\', '/').replace('"', "'")
