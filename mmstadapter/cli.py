"""The console command: ``mmstadapter train CONFIG ...`` runs the tools that come along.

It works where mim cannot find the package: editable installs, and setuptools without
pkg_resources.
"""

import ast
import os
import sys
from pathlib import Path

USAGE = 'mmstadapter COMMAND [ARGUMENTS]      (mmstadapter COMMAND --help says which)'

# Command -> tool below tools/.
TOOLS = {
    'train': 'train.py',
    'test': 'test.py',
    'fit': 'fit.py',
    'predict': 'predict.py',
    'index': 'index.py',
    'search': 'search.py',
    'demo': 'demo.py',
    'retrieval-metrics': 'retrieval_metrics.py',
    'parity': 'parity.py',
    'convert': 'convert_weights.py',
    'publish': 'publish_adapter.py',
    'count': 'analysis/count_parameters.py',
    'report': 'analysis/report.py',
    'attention': 'visualize_attention.py',
    'time-use': 'analysis/time_use.py',
}
LIST = 'configs'
LIST_HELP = 'List the configs that come with the package.'


def main() -> None:
    """Run a command; ends the process with the tool's exit status."""
    from . import shipped

    command, *arguments = sys.argv[1:] or ['--help']
    if command in ('-h', '--help', 'help'):
        print(overview(shipped.root() / 'tools'))
    elif command in ('-V', '--version'):
        from .version import __version__

        print(f'mmstadapter {__version__}')
    elif command == LIST:
        print('\n'.join(shipped.configs()))
    elif command in TOOLS:
        try:
            if command != 'search':  # whose words are a sentence
                arguments = [find(argument) for argument in arguments]
        except FileNotFoundError as error:
            sys.exit(str(error))
        tool = shipped.root() / 'tools' / TOOLS[command]
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, str(tool), *arguments])
    else:
        near = shipped.closest(command, [*TOOLS, LIST])
        sys.exit(f'mmstadapter: no command {command!r}. {near}')


def find(argument: str) -> str:
    """The path of a shipped config where an argument names one; other arguments as they are.

    Raises:
        FileNotFoundError: with the closest names, for a config that is neither.
    """
    from . import shipped

    is_config = argument.endswith('.py') and not argument.startswith('-') and '=' not in argument
    return shipped.find_config(argument) if is_config else argument


def overview(tools: Path) -> str:
    """The help text: each command with the first sentence of its tool."""
    lines = [f'  {command:<17} {sentence(tools / path)}' for command, path in TOOLS.items()]
    lines += [f'  {LIST:<17} {LIST_HELP}', '  --version']
    return '\n'.join([f'usage: {USAGE}', '', *lines])


def sentence(tool: Path) -> str:
    """The first line of a script's docstring."""
    return (ast.get_docstring(ast.parse(tool.read_text(encoding='utf-8'))) or '').partition('\n')[0]


if __name__ == '__main__':
    main()
