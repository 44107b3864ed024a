"""What to say when somebody ends a training by hand."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from .resuming import LAST


def how_to_go_on(
    work_dir: str, words: Sequence[str], resumed: str | None = None, alone: bool = True
) -> str:
    """One line: what is kept, and the command that goes on from it.

    Args:
        work_dir: the run's folder.
        words: the command line after ``mmstadapter``.
        resumed: the file that ``--resume`` named in it, which a plain ``--resume`` replaces: that
            takes the newest.
        alone: whether the command started the run itself, not a launcher of processes.
    """
    note = Path(work_dir) / LAST
    if note.is_file():
        kept = f'Stopped; {note.read_text().strip()} is kept. Go on with'
    else:
        kept = 'Stopped before the first checkpoint. Begin anew with'
    again = shlex.join(['mmstadapter', *_without_resume(words, resumed), '--resume'])
    return f'{kept}: {again}' if alone else f'{kept} the same command and --resume.'


def _without_resume(words: Sequence[str], resumed: str | None) -> list[str]:
    before = ['', *words[:-1]]
    return [
        word
        for last, word in zip(before, words, strict=True)
        if not word.startswith('--resume') and not (last == '--resume' and word == resumed)
    ]
