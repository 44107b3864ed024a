"""List the recipes that come with the package, each with the first line of its description.

    mmstadapter configs [WORD ...]        # mmstadapter configs side4video msrvtt

With words, those whose name or description holds all of them.
"""

import ast
from pathlib import Path

from mmstadapter_cli import load, parser_of


def first_line(path: Path) -> str:
    """The first line of a config's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return text.partition('\n')[0]


def main(argv: list[str] | None = None) -> None:
    """Print the names that match."""
    parser = parser_of('configs', __doc__)
    parser.add_argument('words', nargs='*', metavar='WORD', help='parts of names or descriptions')
    words = [word.lower() for word in parser.parse_args(argv).words]
    shipped = load('shipped')
    found = {name: first_line(shipped.config(name)) for name in shipped.configs()}
    shown = {k: v for k, v in found.items() if all(w in f'{k} {v}'.lower() for w in words)}
    if not shown:
        parser.exit(1, f'No recipe holds {" and ".join(words)}. `mmstadapter configs` lists all.\n')
    width = max(map(len, shown))
    for name, line in shown.items():
        print(f'{name:<{width}}  {line}'.rstrip())
