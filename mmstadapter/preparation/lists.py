"""What the preparations of labelled data sets share: matching lists with videos, writing.

All write MMAction2's form: a line ``path label`` a video.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .files import check_found, images_of, some, videos_of, write


@dataclass
class Entry:
    """A video of an official list: the names its file may have, without suffix, and its class.

    Names may hold folders; where none of them is found so, the last part alone counts if only
    one file has it. Videos of a split without labels have None.
    """

    names: tuple[str, ...]
    label: int | None


Line = tuple  # of a written list: the path, numbers, and the label last


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


def match(entries: Iterable[Entry], root: Path) -> tuple[list[Line], list[str]]:
    """Find each entry's file below a folder.

    Returns:
        ``(path, label)`` of the videos found, in the order of the list, and the names of the
        others.
    """
    by_path = {path.rpartition('.')[0]: path for path in videos_of(root)}
    times = Counter(stem.rpartition('/')[2] for stem in by_path)
    alone = {stem.rpartition('/')[2]: path for stem, path in by_path.items()}
    by_name = {name: path for name, path in alone.items() if times[name] == 1}
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
        times = Counter(line[0] for line in found)
        twice = [path for path, count in times.items() if count > 1]
        print(
            f'{file}: {len(entries):,} listed{beside}, {len(found):,} found, '
            f'{len(missing):,} missing, {classes} of {len(self.labels)} classes'
        )
        if twice:
            print(f'  note: {len(twice):,} of them are listed more than once: {some(twice)}')

    def finish(self, label_file: str) -> None:
        """Write the lists and the names of the classes.

        Raises:
            SystemExit: if a list would be empty, a path holds a space, or videos are missing
                and that was not allowed; nothing is written then but the names of the missing.
        """
        check_found(self.root, self.lists, self.missing, self.allow_missing)
        paths = [line[0] for found in self.lists.values() for line in found]
        spaced = [path for path in paths if len(path.split()) > 1]
        if spaced:
            raise SystemExit(
                f'{len(spaced):,} paths hold spaces, which lists cannot have: {some(spaced)}. '
                'Rename folders and files, with _ for each space; nothing written.'
            )
        for file, found in self.lists.items():
            write(self.root / file, (' '.join(map(str, line)) for line in found))
        write(self.root / label_file, self.labels)
        print(f'written to {self.root}: {", ".join([*self.lists, label_file])}')
