"""The note that a fit leaves when it is done; needs Python alone, so that it is read at once."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

NOTE = 'finished.json'
ADAPTER = 'adapter.safetensors'
RESULTS = (ADAPTER, 'confusion.png', 'mistakes.html')


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
