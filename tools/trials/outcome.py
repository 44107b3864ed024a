"""What came of a trial, and how to run each in a process of its own, within a time."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mmstadapter

KINDS = {
    'right': 'the right result',
    'refused': 'refused with a sentence',
    'unseen': 'wrong, and no decoder tells; refused where `mmstadapter check` came before',
    'crash': 'ended without a sentence',
    'hang': 'did not end in time',
    'silent': 'a wrong result without a word',
}
BAD = ('crash', 'hang', 'silent')
PACKAGE = str(Path(mmstadapter.__file__).parent)
POLL = 0.01


class Outcome(NamedTuple):
    """What came of one case: a key of `KINDS`, what was tried, what was said."""

    kind: str
    tried: str
    said: str = ''


Case = Callable[[int, Path], Outcome]


class CommandFailed(Exception):
    """A command that ended with a sentence and a status above 0."""


def call(*words: object) -> None:
    """Run a command of the package in this process.

    Raises:
        CommandFailed: if it ended as it should for a fault of the user's.
        Exception: whatever it let through.
    """
    from mmstadapter_cli import main

    try:
        status = main([str(word) for word in words])
    except SystemExit as end:
        status = end.code
    if status not in (None, 0):
        raise CommandFailed(status if isinstance(status, str) else last_line())


def last_line() -> str:
    """What this process said last: argparse and some commands print before they end."""
    sys.stdout.flush()
    sys.stderr.flush()
    lines = [x for x in Path('said.txt').read_text(errors='replace').splitlines() if x.strip()]
    return lines[-1] if lines else ''


def of_error(error: BaseException, tried: str) -> Outcome:
    """Refused if the error is one of ours and says something, else a crash."""
    said = ' '.join(f'{type(error).__name__}: {error}'.split())
    return Outcome('refused' if has_sentence(error) else 'crash', tried, said[:600])


def has_sentence(error: BaseException | None) -> bool:
    """Whether a user reads a sentence that somebody wrote for this fault.

    One of ours, or of ours passed on by the host's registry with a word before it; of the host
    only that a file is not there or is no Python.
    """
    if isinstance(error, CommandFailed):
        return bool(str(error).strip())
    if isinstance(error, FileNotFoundError | SyntaxError):
        return True
    whole, part = str(error), error
    while part is not None:
        frames = traceback.extract_tb(part.__traceback__)
        ours = bool(frames) and frames[-1].filename.startswith(PACKAGE)
        text = str(part.args[0]) if part.args else ''
        if ours and len(text.split()) > 3 and (part is error or text in whole):
            return True
        part = part.__cause__ or part.__context__
    return False


def start(function: Callable[[], None], folder: Path) -> int:
    """Fork a process group that runs a function in a folder; gives its number.

    What it says is in ``said.txt`` there. Its status is 0, or 1 after an exception.
    """
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.chdir(folder)
        said = os.open('said.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(said, stream)
        sys.stdout, sys.stderr = open(1, 'w', closefd=False), open(2, 'w', closefd=False)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def kill(child: int) -> None:
    """End a process and what it started, at once."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)


def finish(child: int, limit: float) -> int | None:
    """Wait for a process; its status, or None after killing it because it took too long."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL)
    kill(child)
    os.waitpid(child, 0)
    return None


def run_cases(
    case: Case, numbers: list[int], work: Path, jobs: int, limit: float
) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, each case in a process and a folder of its own."""
    rest, running = list(reversed(numbers)), dict[int, tuple[int, float, Path]]()
    while rest or running:
        while rest and len(running) < jobs:
            number = rest.pop()
            folder = work / f'case-{number}'
            child = start(partial(_note, case, number, folder), folder)
            running[child] = (number, time.monotonic() + limit, folder)
        for child, (number, end, folder) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            late = time.monotonic() > end
            if late and not done:
                kill(child)
                os.waitpid(child, 0)
            if done or late:
                del running[child]
                yield number, _read(folder, os.waitstatus_to_exitcode(status), not done, limit)
        time.sleep(POLL)


def _note(case: Case, number: int, folder: Path) -> None:
    outcome = case(number, folder)
    (folder / 'outcome.json').write_text(json.dumps(outcome))


def _read(folder: Path, status: int, late: bool, limit: float) -> Outcome:
    path, said = folder / 'outcome.json', folder / 'said.txt'
    lines = said.read_text(errors='replace').splitlines()[-3:] if said.is_file() else []
    tried = (folder / 'tried.txt').read_text() if (folder / 'tried.txt').is_file() else '?'
    if late:
        return Outcome('hang', tried, f'more than {limit:g} s; {" / ".join(lines)}')
    if path.is_file():
        return Outcome(*json.loads(path.read_text()))
    return Outcome('crash', tried, f'ended with status {status}; {" / ".join(lines)}')


def trying(what: str) -> str:
    """Note what a case tries, for the report of one that dies."""
    Path('tried.txt').write_text(what)
    return what
