"""The page of commands, docs/commands.md, made from the commands' own parsers.

python -m mmstadapter.analysis.command_page > docs/commands.md
"""

import argparse
from collections.abc import Iterator
from unittest import mock

from mmstadapter_cli import COMMANDS, load

HEAD = """# Commands

Each is `mmstadapter COMMAND ...`, after `pip install .` from any folder; in a clone that is not installed, `python -m mmstadapter COMMAND ...`. `mmstadapter help COMMAND` prints what stands here. This page is written by `python -m mmstadapter.analysis.command_page > docs/commands.md`, and a test keeps it true.

| command | what it does |
|---|---|
"""  # noqa: E501


class _Parsed(Exception):
    """A command has come to the point where it parses its arguments."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """A command's parser, without running the command."""

    def stop(parser: argparse.ArgumentParser, *args):
        raise _Parsed(parser)

    with mock.patch.object(argparse.ArgumentParser, 'parse_args', stop):
        try:
            load(f'commands.{command.replace("-", "_")}').main([])
        except _Parsed as found:
            return found.args[0]
    raise TypeError(f'{command} does not parse its arguments')


def rows(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """The arguments as one types them, and what they mean."""
    for action in parser._actions:
        if action.help is argparse.SUPPRESS or '--help' in action.option_strings:
            continue
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                options = [typed for typed, _ in rows(action.choices[choice.dest])]
                yield ' '.join([choice.dest, *map('[{}]'.format, options)]), choice.help
        else:
            yield typed(action), action.help or ''


def typed(action: argparse.Action) -> str:
    """An argument with the place of its value."""
    name = next((o for o in action.option_strings if o.startswith('--')), '')
    if action.nargs == 0:
        return name
    value = action.metavar or (action.dest.upper() if name else action.dest)
    if action.choices and len(list(action.choices)) <= 4:
        value = '{' + ','.join(map(str, action.choices)) + '}'
    more = ' ...' if action.nargs in ('+', '*') else ''
    value = f'[{value}]' if action.nargs in ('?', '*') else value
    return f'{name} {value}{more}'.strip()


def page() -> str:
    """All of docs/commands.md."""
    lines = [f'| [{name}](#{name}) | {sentence} |' for name, sentence in COMMANDS.items()]
    return HEAD + '\n'.join(lines) + '\n' + ''.join(map(section, COMMANDS))


def section(command: str) -> str:
    """A command: its description, then its arguments."""
    parser = parser_of(command)
    lines = [f'| `{name}` | {cell(text)} |' for name, text in rows(parser)]
    table = '\n'.join(['| argument | meaning |', '|---|---|', *lines])
    return f'\n## {command}\n\n{parser.description.strip()}\n\n{table}\n'


def cell(text: str) -> str:
    """A text of argparse in a cell of a table."""
    return text.replace('%%', '%').replace('|', '\\|').replace('<', '&lt;')


if __name__ == '__main__':
    print(page(), end='')
