"""Names and texts from elsewhere as a terminal or log shows them, and figures in columns."""

from collections.abc import Iterable
from io import StringIO

WIDE = 1 << 16  # columns of a terminal that cuts nothing


def shown(name: object) -> str:
    r"""A file's name, label or the like with what does not print escaped.

    A line break, an escape sequence that moves the cursor or recolours the terminal, marks that
    turn the direction of writing, bytes that are not text: all stand as '\\n', '\\x1b' and so on.
    """
    return ''.join(x if x.isprintable() else ascii(x)[1:-1] for x in str(name))


def printable(text: str) -> str:
    """Lines of text with what does not print escaped, see :func:`shown`."""
    return text if text.isprintable() else '\n'.join(map(_line, text.split('\n')))


def _line(text: str) -> str:
    return '\t'.join(map(shown, text.split('\t')))


def in_columns(rows: Iterable[Iterable[str]], sides: str) -> str:
    """Rows of cells as lines of text, each column as wide as its widest cell: nothing is cut.

    Args:
        rows: the cells, from left to right.
        sides: of each column ``l`` or ``r``, to which it is flush; the last one is of all others.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [[Text(cell) for cell in row] for row in rows]
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    for side in sides.ljust(max(map(len, lines), default=0), sides[-1]):
        grid.add_column(justify='left' if side == 'l' else 'right', no_wrap=True)
    for line in lines:
        grid.add_row(*line)
    text = StringIO()
    Console(file=text, width=WIDE, color_system=None).print(grid)
    return '\n'.join(line.rstrip() for line in text.getvalue().splitlines())
