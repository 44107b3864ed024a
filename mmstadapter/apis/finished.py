"""The note that a fit leaves when it is done; needs Python alone, so that it is read at once."""

import hashlib
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTE = 'finished.json'
ADAPTER = 'adapter.safetensors'
RESULTS = (ADAPTER, 'confusion.png', 'mistakes.html')


@dataclass(frozen=True)
class Fitted:
    """What a fit left behind; printed, it says the figure and where the rest is.

    Attributes:
        work_dir: folder of everything that was written.
        result: the test: ``top1``, its 95 % interval ``top1_interval`` and ``chance`` in per
            cent, the number of ``videos``, accuracy by class and more, as in ``confusion.json``.
    """

    work_dir: Path
    result: dict[str, Any]

    @property
    def adapter(self) -> Path:
        """The adapter file, for :class:`Predictor` and ``mmstadapter predict``."""
        return self.work_dir / ADAPTER

    @property
    def top1(self) -> float:
        """Accuracy in per cent."""
        return self.result['top1']

    def __str__(self) -> str:
        low, high = self.result['top1_interval']
        lines = [
            f'top-1 {self.top1:.1f} % of {self.result["videos"]} videos; 95 % sure: {low:.0f} to '
            f'{high:.0f} %; chance: {self.result["chance"]:.1f} %'
        ]
        lines += [f'  {self.work_dir / name}' for name in RESULTS]
        return '\n'.join([*lines, f'mmstadapter predict {shlex.quote(str(self.adapter))} VIDEO'])


def work_dir_of(root: str | Path, work_dir: str | Path | None) -> Path:
    """Where a fit writes: as told, or work_dirs/fit_<name of the folder>."""
    return Path(work_dir or Path('work_dirs') / f'fit_{Path(root).resolve().name}').resolve()


def digest(root: str | Path, options: dict[str, Any]) -> str:
    """Of the options, and of name, size and time of change of every file below a folder."""
    found = []
    for here, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(set(names) - {'checked.jsonl'}):  # of `mmstadapter check`
            path = os.path.join(here, name)
            state = os.lstat(path)
            found.append([os.path.relpath(path, root), state.st_size, state.st_mtime_ns])
    return hashlib.sha256(json.dumps([sorted(options.items()), found]).encode()).hexdigest()


def read_note(work_dir: Path, wanted: str) -> dict[str, Any] | None:
    """The summary of a fit that is done, None if there is none of these videos and options."""
    try:
        note = json.loads((work_dir / NOTE).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    whole = all((work_dir / name).is_file() for name in RESULTS)
    return note['result'] if whole and note.get('digest') == wanted else None


def write_note(work_dir: Path, of: str, result: dict[str, Any]) -> None:
    """Note that a fit is done."""
    part = work_dir / f'{NOTE}.part'
    part.write_text(json.dumps(dict(digest=of, result=result)), encoding='utf-8')
    part.replace(work_dir / NOTE)


def find(settings: dict[str, Any]) -> Fitted | None:
    """What a fit of these videos and options left behind, None if it is not done."""
    root, work_dir = settings['root'], work_dir_of(settings['root'], settings['work_dir'])
    result = read_note(work_dir, digest(root, settings))
    return Fitted(work_dir, result) if result else None
