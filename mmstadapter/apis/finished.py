"""The note that a fit leaves when it is done; needs Python alone, so that it is read at once."""

import hashlib
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmstadapter_cli import load

NOTE = 'finished.json'
ADAPTER = 'adapter.safetensors'
RESULTS = (ADAPTER, 'confusion.png', 'mistakes.html')
RETRIEVAL_RESULTS = (ADAPTER, 'retrieval.json', 'mistakes.html')  # of videos with captions


@dataclass(frozen=True)
class Fitted:
    """What a fit left behind; printed, it says the figure and where the rest is.

    Attributes:
        work_dir: folder of everything that was written.
        result: the test: ``top1``, its 95 % interval ``top1_interval`` and ``chance`` in per
            cent, the number of ``videos``, accuracy by class and more, as in ``confusion.json``;
            of videos with captions ``r1``, ``r1_interval`` and more, as in ``retrieval.json``.
    """

    work_dir: Path
    result: dict[str, Any]

    @property
    def adapter(self) -> Path:
        """The adapter file, for :class:`Predictor` and ``mmstadapter predict``."""
        return self.work_dir / ADAPTER

    @property
    def top1(self) -> float:
        """Accuracy in per cent, of videos with classes."""
        return self.result['top1']

    @property
    def r1(self) -> float:
        """Captions that find their video first, in per cent, of videos with captions."""
        return self.result['r1']

    def __str__(self) -> str:
        found, adapter = self.result, shlex.quote(str(self.adapter))
        if 'r1' in found:
            what = f'R@1 {self.r1:.1f} % of {found["captions"]} captions'
            (low, high), go_on = found['r1_interval'], f'index VIDEO_DIR --checkpoint {adapter}'
        else:
            what = f'top-1 {self.top1:.1f} %'
            (low, high), go_on = found['top1_interval'], f'predict {adapter} VIDEO'
        lines = [
            f'{what} of {found["videos"]} videos; 95 % sure: {low:.0f} to {high:.0f} %; '
            f'chance: {found["chance"]:.1f} %'
        ]
        lines += [f'  {self.work_dir / name}' for name in files_of(found)]
        return '\n'.join([*lines, f'mmstadapter {go_on}'])


def files_of(result: dict[str, Any]) -> tuple[str, ...]:
    """The files that a fit with this result has written."""
    return RETRIEVAL_RESULTS if 'r1' in result else RESULTS


def work_dir_of(root: str | Path, work_dir: str | Path | None) -> Path:
    """Where a fit writes: as told, or work_dirs/fit_<name of the folder>."""
    path = Path(root).resolve()
    name = path.stem if load('apis.caption_list').is_caption_list(path) else path.name
    return Path(work_dir or Path('work_dirs') / f'fit_{name}').resolve()


def digest(root: str | Path, options: dict[str, Any]) -> str:
    """Of the options, and of name, size and time of change of every file.

    Those below a folder, or those that a list of captions names.
    """
    captions = load('apis.caption_list')
    if captions.is_caption_list(root):
        start = Path(options.get('videos') or Path(root).parent)
        return _hash(options, captions.states(Path(root), start))
    found = []
    for here, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(set(names) - {'checked.jsonl'}):  # of `mmstadapter check`
            path = os.path.join(here, name)
            state = os.lstat(path)
            found.append([os.path.relpath(path, root), state.st_size, state.st_mtime_ns])
    return _hash(options, found)


def _hash(options: dict[str, Any], found: list) -> str:
    return hashlib.sha256(json.dumps([sorted(options.items()), found]).encode()).hexdigest()


def read_note(work_dir: Path, wanted: str) -> dict[str, Any] | None:
    """The summary of a fit that is done, None if there is none of these videos and options."""
    try:
        note = json.loads((work_dir / NOTE).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    result = note.get('result', {})
    whole = all((work_dir / name).is_file() for name in files_of(result))
    return result if whole and note.get('digest') == wanted else None


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
