"""Decode every video once and write down what it was: size, checksums, frames, what is wrong."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, NamedTuple

from filelock import FileLock, Timeout

from ..datasets.caption_dataset import read_captions
from ..datasets.checked import NAME, Entry, read_table
from ..datasets.files import files_below, is_video
from .looking import IMAGES, checksums, images_in, look, stamp
from .processes import in_processes

PART = '.part'  # what a run has done so far
PATIENCE = 5.0  # seconds to wait for another writer to go


@dataclass
class CheckReport:
    """What a check found; names as in the table.

    Attributes:
        table: where it is written.
        good: videos of which all could be decoded, now or before.
        decoded: how many were decoded in this run.
        wrong: why others cannot be decoded.
        changed: videos that are not what they were when they were checked.
        gone: videos that are missing.
        closed: folders that cannot be read.
    """

    table: str
    good: int = 0
    decoded: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether every video is there, whole and what it was."""
        return not (self.wrong or self.changed or self.gone or self.closed)


class _Task(NamedTuple):
    path: str
    name: str
    known: Entry | None
    accept: bool

    def __str__(self) -> str:
        return self.path


class _Done(NamedTuple):
    name: str
    entry: Entry | None  # None: another file than the known one
    decoded: bool


def check_videos(
    source: str | Path,
    root: str | Path | None = None,
    delimiter: str | None = None,
    accept: bool = False,
    num_workers: int = 2,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> CheckReport:
    """Decode all videos of a folder or an annotation file and bring their table up to date.

    Videos in the table are compared with it by SHA-256 and not decoded again, except those that
    could not be. What a run that was killed had done is taken over.

    Args:
        source: a folder, or a list, ``path ...`` a line or a json file of captions.
        root: the folder that paths of a list are relative to; the current one if None.
        delimiter: what ends the path in a line; a tab if there is one, else a space, if None.
        accept: take videos that changed as they are now, and forget those that are gone.
        num_workers: processes.
        progress: is told the number of videos done, of all, and the name of the last.

    Raises:
        FileNotFoundError: no such folder or list.
        ValueError: no video in it, or a table that is damaged.
        RuntimeError: another process is writing the table, or one of ours died.
        OSError: the table cannot be written.
    """
    if num_workers < 1:
        raise ValueError(f'check: num_workers must be at least 1, got {num_workers}.')
    source = Path(source)
    if source.is_dir():
        table, base = source / NAME, str(source)
        names, closed = _below(base)
    else:
        table, base, closed = Path(f'{source}.{NAME}'), str(root or ''), []
        names = [_as_read(base, name) for name in _listed(source, delimiter)]
    if not names:
        raise ValueError(f'check: no videos in {source}.')
    report = CheckReport(str(table), closed=closed)
    with _writing(table) as part:
        known = read_table(table) if table.is_file() else {}
        begun = {n: e for n, e in part.before.items() if _is_as(base, n, e)}
        entries = known | begun
        names = sorted({*names, *known}, key=os.fsencode)
        report.gone = [name for name in names if stamp(os.path.join(base, name)) is None]
        left = [name for name in names if name not in begun and name not in set(report.gone)]
        tasks = [_Task(os.path.join(base, n), n, known.get(n), accept) for n in left]
        for count, done in enumerate(in_processes(_work, tasks, num_workers), start=1):
            report.decoded += done.decoded
            if done.entry is None:
                report.changed.append(done.name)
            else:
                entries[done.name] = done.entry
                part.write(done.entry)
            progress(count, len(tasks), done.name)
        if accept:
            entries = {n: e for n, e in entries.items() if n not in set(report.gone)}
        _write(table, entries)
    _sum_up(report, entries, accept)
    return report


def _sum_up(report: CheckReport, entries: dict[str, Entry], accept: bool) -> None:
    known = {n: e for n, e in entries.items() if n not in {*report.gone, *report.changed}}
    report.wrong = {name: entry.wrong for name, entry in sorted(known.items()) if entry.wrong}
    report.good = len(known) - len(report.wrong)
    report.changed.sort(key=os.fsencode)
    if accept:
        report.gone = []


def _work(task: _Task) -> _Done:
    """Compare a video with what is known of it, or decode it."""
    if task.known is not None and not task.known.wrong:
        state = stamp(task.path)
        if state is not None and checksums(task.path)[0] == task.known.sha256:
            return _Done(task.name, replace(task.known, mtime_ns=state[1]), False)
        if not task.accept:
            return _Done(task.name, None, False)
    return _Done(task.name, look(task.path, task.name), True)


def _is_as(base: str, name: str, entry: Entry) -> bool:
    return stamp(os.path.join(base, name)) == (entry.size, entry.mtime_ns)


def _listed(path: Path, delimiter: str | None) -> list[str]:
    """The paths of an annotation file, without labels, each once."""
    if not path.is_file():
        raise FileNotFoundError(
            f'check: no folder and no list {path}. Give a folder of videos, or an annotation file.'
        )
    if path.suffix == '.json':
        return list(read_captions(str(path)))
    text = path.read_text(encoding='utf-8-sig', errors='surrogateescape')
    lines = [line.strip('\r') for line in text.split('\n')]
    return list(dict.fromkeys(_first(line, delimiter) for line in lines if line.strip()))


def _first(line: str, delimiter: str | None) -> str:
    return line.split(delimiter or ('\t' if '\t' in line else ' '))[0]


def _as_read(base: str, name: str) -> str:
    """A name as the pipelines read it: lists may leave .mp4 out."""
    is_there = os.path.exists(os.path.join(base, name)) or os.path.splitext(name)[1]
    return name if is_there else f'{name}.mp4'


def _below(root: str) -> tuple[list[str], list[str]]:
    """Video files and folders of numbered images below a folder; folders that cannot be read."""
    found: list[Path] = []
    closed: list[Path] = []
    pictures: set[Path] = set()
    for path in files_below(Path(root)):
        if path.is_dir():
            closed.append(path)
        elif path.suffix.lower() in IMAGES:
            pictures.add(path.parent)
        elif is_video(path):
            found.append(path)
    rest = pictures - {path.parent for path in found} - {Path(root)}
    found += [folder for folder in rest if images_in(str(folder))]
    return [os.path.relpath(path, root) for path in found], sorted(map(str, closed))


class _Part:
    """The file that grows while a run goes on."""

    def __init__(self, file: IO[str], before: dict[str, Entry]) -> None:
        self.file, self.before = file, before

    def write(self, entry: Entry) -> None:
        """Note a video; a kill loses it or not, never half of another."""
        self.file.write(entry.line())
        self.file.flush()


@contextmanager
def _writing(table: Path) -> Iterator[_Part]:
    """The only writer of a table; what it has done stays if it is killed."""
    path = f'{table}{PART}'
    try:  # the processes of a run that was killed go a moment after it
        lock = FileLock(path).acquire(timeout=PATIENCE)
    except Timeout:
        raise RuntimeError(f'check: another process is writing {table}.') from None
    with lock, open(path, 'a', encoding='ascii') as file:
        _cut_half_a_line(path)
        yield _Part(file, read_table(path))
        os.unlink(path)


def _cut_half_a_line(path: str) -> None:
    """Take away what was being written when a run was killed."""
    content = Path(path).read_bytes()
    os.truncate(path, content.rfind(b'\n') + 1)


def _write(table: Path, entries: dict[str, Entry]) -> None:
    """Replace the table in one step."""
    new = f'{table}.new'
    with open(new, 'w', encoding='ascii') as file:
        file.writelines(entries[name].line() for name in sorted(entries, key=os.fsencode))
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, table)
