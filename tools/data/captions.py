"""What the prepare.py scripts of captioned data sets share: finding videos, counting, writing.

All write one form, which mmstadapter.CaptionDataset reads: a json object, video by video,
{"path": ["caption", ...], ...}. Needs nothing but Python.
"""

import argparse
import csv
import json
import os
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import lists
from lists import need, some, write

IMAGES = {'.jpg', '.jpeg', '.png'}
# Dictionaries and what they are made with. Anything else a pickle names could be a command.
PLAIN = {
    ('collections', 'OrderedDict'),
    ('collections', 'defaultdict'),
    ('builtins', 'list'),
    ('__builtin__', 'list'),
}


def parser(description: str, root: str) -> argparse.ArgumentParser:
    """A command line with the options of every script."""
    made = lists.parser(description, root)
    made.add_argument(
        '--frames',
        action='store_true',
        help='take folders of images below frames/ instead of files below videos/',
    )
    return made


class PlainUnpickler(pickle.Unpickler):
    """Loads texts, numbers, lists and dictionaries, and refuses everything that could act."""

    def find_class(self, module: str, name: str):
        """The few classes of plain data."""
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f'it names {module}.{name}')
        return super().find_class({'__builtin__': 'builtins'}.get(module, module), name)


def read_pickle(path: Path):
    """The plain data of a pickle file; one that holds anything else is not loaded.

    Raises:
        SystemExit: in that case, or if it is damaged.
    """
    try:
        with path.open('rb') as file:
            return PlainUnpickler(file, encoding='utf-8').load()
    except Exception as error:  # a damaged pickle may raise anything
        raise SystemExit(
            f'{path} is no pickle of plain lists and texts and was not loaded: {error}. '
            'Fetch the public file again (see README.md).'
        ) from None


def read_json(path: Path):
    """The content of a json file.

    Raises:
        SystemExit: if it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise SystemExit(f'{path} is no json file: {error}') from None


@contextmanager
def form(path: Path, wanted: str) -> Iterator[None]:
    """Around code that takes an annotation file apart.

    Raises:
        SystemExit: if the file has another form, with the one wanted.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise SystemExit(f'{path} has another form than {wanted}: {error!r}') from None


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a csv file with a header.

    Raises:
        SystemExit: if a column is missing.
    """
    with path.open(encoding='utf-8', newline='') as file:
        table = csv.DictReader(file)
        lacking = [name for name in columns if name not in (table.fieldnames or ())]
        if lacking:
            raise SystemExit(f'{path} lacks the columns {", ".join(lacking)}.')
        return list(table)


def read_names(path: Path, source: str) -> list[str]:
    """The lines of a text file, a video each."""
    text = need(path, source).read_text(encoding='utf-8')
    return [line.strip() for line in text.splitlines() if line.strip()]


def key(name: str) -> str:
    """A video's id: the last part of a path up to its first dot."""
    return name.rpartition('/')[2].partition('.')[0]


def media_of(folder: Path, frames: bool) -> dict[str, str]:
    """Path below ``folder`` of the video, or of the folder of frames, of each id.

    Raises:
        SystemExit: if an id occurs twice.
    """
    paths = _frame_folders(folder) if frames else list(lists.videos_of(folder))
    times = Counter(map(key, paths))
    twice = sorted(name for name, count in times.items() if count > 1)
    if twice:
        raise SystemExit(f'{folder}: {len(twice)} ids occur more than once: {some(twice)}')
    return {key(path): path for path in paths}


def _frame_folders(root: Path) -> list[str]:
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        if any(os.path.splitext(name)[1].lower() in IMAGES for name in names):
            found.append(Path(folder).relative_to(root).as_posix())
    return found


class Preparation:
    """Collects the lists of a captioned data set, prints counts, and writes all lists or none.

    Args:
        root: folder of the data set; videos lie in ``videos``, folders of frames in ``frames``;
            the lists come to lie in ``root``.
        frames: whether to take the folders of frames.
        allow_missing: write lists without the videos that are missing.
    """

    def __init__(self, root: Path, frames: bool, allow_missing: bool) -> None:
        self.root, self.allow_missing = root, allow_missing
        what = 'the folder of folders of frames.' if frames else 'the folder of the videos.'
        self.media = media_of(need(root / ('frames' if frames else 'videos'), what), frames)
        self.lists: dict[str, dict[str, list[str]]] = {}
        self.missing: dict[str, list[str]] = {}

    def add(
        self,
        file: str,
        names: Iterable[str],
        captions: Mapping[str, Iterable[str]],
        official: tuple[int, int] | None = None,
    ) -> None:
        """Match a split with its captions and the videos on disk, and print its counts.

        Args:
            file: name of the list to write.
            names: the videos of the split, in order.
            captions: captions of each video, by id.
            official: how many videos and captions the split has; printed where it differs.

        Raises:
            SystemExit: if a video is listed twice or has no captions.
        """
        ids = [key(name) for name in names]
        twice = [name for name, count in Counter(ids).items() if count > 1]
        _refuse(file, 'are listed more than once', twice)
        texts = {name: list(captions.get(name, ())) for name in ids}
        full = {name: [t for t in some_texts if t.strip()] for name, some_texts in texts.items()}
        _refuse(file, 'have no caption', [name for name, kept in full.items() if not kept])
        self.missing[file] = [name for name in ids if name not in self.media]
        self.lists[file] = {self.media[n]: kept for n, kept in full.items() if n in self.media}
        counts = len(ids), sum(map(len, full.values()))
        self._tell(file, counts, official)
        blank = sum(map(len, texts.values())) - counts[1]
        if blank:
            print(f'  note: {blank:,} empty captions left out of {file}')

    def _tell(self, file: str, counts: tuple[int, int], official: tuple[int, int] | None) -> None:
        beside = ''
        if official not in (None, counts):
            beside = f' (official: {official[0]:,} and {official[1]:,})'
        print(
            f'{file}: {counts[0]:,} videos with {counts[1]:,} captions listed{beside}, '
            f'{len(self.lists[file]):,} videos found, {len(self.missing[file]):,} missing'
        )

    def finish(self) -> None:
        """Write the lists.

        Raises:
            SystemExit: if a list would be empty, or videos are missing and that was not allowed;
                nothing is written then but the names of the missing.
        """
        for file, names in self.missing.items():
            note = self.root / f'{Path(file).stem}_missing.txt'
            note.unlink(missing_ok=True)
            if names:
                write(note, names)
                print(f'  missing from {file}: {some(names)}; all in {note}')
        empty = [file for file, found in self.lists.items() if not found]
        if empty:
            raise SystemExit(f'None of the videos of {some(empty)} is there; nothing written.')
        if any(self.missing.values()) and not self.allow_missing:
            raise SystemExit(
                'There are captions without their videos; nothing written. --allow-missing goes '
                'without them.'
            )
        for file, found in self.lists.items():
            write(self.root / file, [json.dumps(found, ensure_ascii=False, indent=0)])
        print(f'written to {self.root}: {", ".join(self.lists)}')


def _refuse(file: str, what: str, names: list[str]) -> None:
    if names:
        raise SystemExit(f'{file}: {len(names):,} videos {what}: {some(names)}; nothing written.')
