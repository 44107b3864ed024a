"""The console command: ``mmstadapter COMMAND ...`` runs ``mmstadapter/commands/COMMAND.py``.

It stands beside the package because importing the package takes seconds: overview and help
answer without it.
"""

import argparse
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

COMMANDS = {
    'train': 'Train a model.',
    'test': 'Test a checkpoint.',
    'fit': 'Train on videos of your own, by classes or captions, from nothing to an adapter file.',
    'predict': 'Predict videos with an adapter file.',
    'timeline': 'Label a long video over time: a table, subtitles, a picture.',
    'watch': 'Watch a webcam, a camera at an address or a file, and say when its label changes.',
    'check': 'Decode every video once, so that later runs refuse one that changed.',
    'cache': 'Decode the videos of a config once, so that later epochs decode none.',
    'index': 'Index a folder of videos for search.',
    'search': 'Search indexed videos for what a sentence says, or for the like of an example.',
    'serve': 'Open a web page that searches an index and labels dropped videos.',
    'export-index': "Write an index's vectors as arrays or a table, for a vector database.",
    'configs': 'List the recipes that come with the package.',
    'prepare': 'Write the lists of a public data set, or make the demonstration data.',
    'publish': 'Write the tuned part of a trained checkpoint as one safetensors file.',
    'push': 'Share a trained model by name, with a card, at Hugging Face or in a folder.',
    'export': 'Write a model as ONNX or as a PyTorch archive, equal to it, for use without us.',
    'merge': "Take trained LoRA, DoRA or ZeroI2V's adapters into the model.",
    'peft': 'Write LoRA as a folder of the library peft, or read such a folder.',
    'convert': "Rename a weights file from one origin's names to another's.",
    'count': "Print parameters, tuned and frozen, and operations of a config's model.",
    'plan': 'Say what a training takes of a card: memory, the least time, the largest batch.',
    'report': "Print parameters and operations of the recipes beside the papers' figures.",
    'attention': 'Draw where a model looks in a video, before and after adaptation.',
    'time-use': 'Measure what a model loses when frames lose their order.',
    'confusion': 'Show which class is taken for which, from the predictions of a test.',
    'plot': 'Draw the curves of training runs: loss, accuracy, whatever was logged.',
    'retrieval-metrics': 'Rank saved text-video features: recall, median and mean rank.',
    'parity': "Compare our models with numbers that the authors' code produced.",
    'demo': 'Train, test and search on moving digits, from nothing to a table and a picture.',
    'leaderboard': 'Compare all methods on the data sets that make themselves, and make the page.',
}
USAGE = 'mmstadapter COMMAND [ARGUMENTS]      (mmstadapter COMMAND --help says which)'


def main(argv: list[str] | None = None) -> int | str | None:
    """Run a command; returns its exit status for ``sys.exit``."""
    command, *arguments = (sys.argv[1:] if argv is None else argv) or ['--help']
    if command == 'help' and arguments:
        command, arguments = arguments[0], ['--help']
    with reader_may_leave():
        if command in ('-h', '--help', 'help'):
            print(overview())
        elif command in ('-V', '--version'):
            print(f'mmstadapter {load("version").__version__}')
        elif command in COMMANDS:
            return run(command, arguments)
        else:
            hint = load('shipped').closest(command, list(COMMANDS))
            return f'mmstadapter: no command {command!r}. {hint}'
    return None


def run(command: str, arguments: list[str]) -> int | str | None:
    """Run one; the sentence it ends with holds names of files, which are printed as text.

    Errors whose text says all that a user needs (``is_said_whole``) are such a sentence.
    """
    try:
        return load(f'commands.{command.replace("-", "_")}').main(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            raise SystemExit(load('printing').printable(end.code)) from end
        raise
    except Exception as error:
        if not getattr(error, 'is_said_whole', False):
            raise
        raise SystemExit(load('printing').printable(str(error))) from error


def overview() -> str:
    """The help text: each command with a sentence."""
    lines = [f'  {command:<17} {sentence}' for command, sentence in COMMANDS.items()]
    return '\n'.join([f'usage: {USAGE}', '', *lines, '  --version'])


def load(name: str) -> ModuleType:
    """A module of the package, read without the package, which a command imports when it works.

    Args:
        name: below ``mmstadapter``, as in ``'commands.train'``. Such a module may import the
            standard library and this file at its top, all else within its functions.
    """
    full = f'mmstadapter.{name}'
    if full not in sys.modules:
        folder = Path(importlib.util.find_spec('mmstadapter').origin).parent
        path = folder / Path(*name.split('.')).with_suffix('.py')
        spec = importlib.util.spec_from_file_location(full, path)
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


def parser_of(command: str, doc: str | None) -> argparse.ArgumentParser:
    """A command's parser, which shows the docstring of its module as it is."""
    return argparse.ArgumentParser(
        prog=f'mmstadapter {command}',
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def config_path(name: str) -> str:
    """A config by path or by the name of a shipped one; the type of an argument for argparse."""
    try:
        return load('shipped').find_config(name)
    except FileNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly where whoever reads the output has had enough, as ``| head`` does.

    What is logged in vain stops nothing: a training goes on, its log is in a file as well.
    """
    report = logging.StreamHandler.handleError

    def handle(handler: logging.Handler, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            silence()
        else:
            report(handler, record)

    logging.StreamHandler.handleError = handle  # type: ignore[assignment,method-assign]
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
    finally:
        logging.StreamHandler.handleError = report  # type: ignore[assignment,method-assign]


def silence() -> None:
    """Print nowhere; what is still in the buffer would be reported again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == '__main__':
    sys.exit(main())
