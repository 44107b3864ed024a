"""What the prepare.py scripts share: finding videos, checking lists against them, writing lists.

Needs nothing but Python, so that the scripts answer at once.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

IMAGES = {'.jpeg', '.jpg', '.png', '.webp'}
SUFFIXES = {'.avi', '.flv', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv'}
SHOWN = 5


@dataclass
class Entry:
    """A video of an official list: the names its file may have, without suffix, and its class.

    Names may hold folders; where none of them is found so, the last part alone counts. Videos
    of a split without labels have None.
    """

    names: tuple[str, ...]
    label: int | None


Line = tuple  # of a written list: the path, numbers, and the label last


def parser(description: str, root: str) -> argparse.ArgumentParser:
    """A command line with the options of every script."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument('--root', type=Path, default=Path(root), help=f'its folder [{root}]')
    made.add_argument(
        '--allow-missing',
        action='store_true',
        help='write the lists with the videos that are there, though some are missing',
    )
    return made


def need(path: Path, what: str) -> Path:
    """The path, or an end that says what should be there.

    Raises:
        SystemExit: if it does not exist.
    """
    if not path.exists():
        raise SystemExit(f'{path} is missing: {what}')
    return path


def need_one(folder: Path, names: Iterable[str], what: str) -> Path:
    """The first of several possible files of a folder, or an end that names them all."""
    names = list(names)
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise SystemExit(f'{folder}/{{{",".join(names)}}}: none of these is there: {what}')


def class_folders(root: Path) -> list[str]:
    """Names of the folders of a folder, sorted without regard to case.

    Raises:
        SystemExit: if there are none, or one has no videos.
    """
    names = sorted((p.name for p in root.iterdir() if p.is_dir()), key=lambda n: (n.lower(), n))
    if not names:
        raise SystemExit(f'{root} holds no class folders, one for each class with its videos.')
    full = {Path(path).parts[0] for path in videos_of(root)}
    empty = [name for name in names if name not in full]
    if empty:
        raise SystemExit(f'{root}: {len(empty)} class folders hold no video: {some(empty)}')
    return names


def videos_of(root: Path) -> Iterator[str]:
    """Paths of the videos below a folder, relative to it, with forward slashes, sorted."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                found.append(Path(folder, name).relative_to(root).as_posix())
    return iter(sorted(found))


def match(entries: Iterable[Entry], root: Path) -> tuple[list[Line], list[str]]:
    """Find each entry's file below a folder.

    Returns:
        ``(path, label)`` of the videos found, in the order of the list, and the names of the
        others.
    """
    by_path, by_name = {}, {}
    for path in videos_of(root):
        stem = os.path.splitext(path)[0]
        by_path[stem] = by_name[stem.rpartition('/')[2]] = path
    found, missing = [], []
    for entry in entries:
        places = [by_path.get(name) for name in entry.names]
        places += [by_name.get(name.rpartition('/')[2]) for name in entry.names]
        path = next((place for place in places if place), None)
        if path is None:
            missing.append(entry.names[0])
        else:
            found.append((path, entry.label))
    return found, missing


def match_folders(entries: Iterable[Entry], root: Path) -> tuple[list[Line], list[str]]:
    """Find each entry's folder of frames in a folder, and count the images in it.

    Returns:
        ``(folder, frames, label)`` of the folders found that hold images, ``(folder,)`` of those
        without a label, in the order of the list, and the names of the others.
    """
    found, missing = [], []
    for entry in entries:
        name = entry.names[0]
        frames = len(images_of(root / name))
        if not frames:
            missing.append(name)
        else:
            found.append((name,) if entry.label is None else (name, frames, entry.label))
    return found, missing


def images_of(folder: Path) -> list[str]:
    """Names of a folder's images, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in os.scandir(folder))
    return sorted(name for name in names if os.path.splitext(name)[1].lower() in IMAGES)


def write(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, whole or not at all."""
    part = path.with_name(path.name + '.part')
    part.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    os.replace(part, path)


def some(names: list[str]) -> str:
    """The first few names."""
    return ', '.join(names[:SHOWN]) + (' ...' if len(names) > SHOWN else '')


class Preparation:
    """Collects the lists of a data set, prints counts, and writes all lists or none.

    Args:
        root: folder of the data set; the lists come to lie in it.
        labels: names of the classes, in the order of their numbers.
        allow_missing: write lists without the videos that are missing.
    """

    def __init__(self, root: Path, labels: list[str], allow_missing: bool) -> None:
        self.root, self.labels, self.allow_missing = root, labels, allow_missing
        self.lists: dict[str, list[Line]] = {}
        self.missing: dict[str, list[str]] = {}

    def add(
        self,
        file: str,
        videos: Path,
        entries: Iterable[Entry],
        official: int | None = None,
        find: Callable[[Iterable[Entry], Path], tuple[list[Line], list[str]]] = match,
    ) -> None:
        """Match a split with the videos on disk and print its counts.

        Args:
            file: name of the list to write.
            videos: folder to which the list's paths are relative.
            entries: the official list.
            official: length of the official list; printed beside the one found.
            find: :func:`match` for video files, :func:`match_folders` for folders of frames.
        """
        entries = list(entries)
        found, missing = find(entries, videos)
        self.lists[file], self.missing[file] = found, missing
        beside = '' if official in (None, len(entries)) else f' (official: {official:,})'
        classes = len({line[-1] for line in found if len(line) > 1})
        print(
            f'{file}: {len(entries):,} listed{beside}, {len(found):,} found, '
            f'{len(missing):,} missing, {classes} of {len(self.labels)} classes'
        )

    def finish(self, label_file: str) -> None:
        """Write the lists and the names of the classes.

        Raises:
            SystemExit: if a list would be empty, a path holds a space, or videos are missing
                and that was not allowed; nothing is written then but the names of the missing.
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
        paths = [line[0] for found in self.lists.values() for line in found]
        spaced = [path for path in paths if len(path.split()) > 1]
        if spaced:
            raise SystemExit(
                f'{len(spaced):,} paths hold spaces, which lists cannot have: {some(spaced)}. '
                'Rename folders and files, with _ for each space; nothing written.'
            )
        if any(self.missing.values()) and not self.allow_missing:
            raise SystemExit('Videos are missing; nothing written. --allow-missing goes without.')
        for file, found in self.lists.items():
            write(self.root / file, (' '.join(map(str, line)) for line in found))
        write(self.root / label_file, self.labels)
        print(f'written to {self.root}: {", ".join([*self.lists, label_file])}')
