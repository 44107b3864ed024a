"""A folder of class folders of videos: what is in it, what can be read, how it is split."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.fraction import balanced_fraction
from ..datasets.packets import VideoReadError
from ..datasets.readers import open_video

SUFFIXES = frozenset(
    '.3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv'.split()
)
PARTS = ('train', 'val')
DELIMITER = '\t'  # between path and label in the lists: names may hold spaces
CHECKED_FRAMES = 8  # decoded of every video, evenly spaced


def is_video(path: Path) -> bool:
    """Whether a file's name says that it is a video."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith('.') and path.is_file()


def videos_below(folder: Path) -> list[Path]:
    """The videos in a folder and the folders in it, sorted."""
    return sorted(path for path in folder.rglob('*') if is_video(path))


@dataclass(frozen=True)
class Video:
    """A video of the folder; path relative to it, length in frames, 0 where it is unknown."""

    path: str
    label: int
    frames: int = 0
    fps: float = 0.0
    reason: str = ''  # why it cannot be used; empty where it can


class VideoFolder:
    """The videos of ``root/<class>/...`` or of ``root/{train,val}/<class>/...``.

    Class folders may hold folders. Labels are the class folders' names in alphabetic order.

    Args:
        root: the folder.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: fewer than two classes, a class folder without videos, or a class in
            ``val`` that ``train`` does not have.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f'VideoFolder: no folder {root}. Give a folder of class folders.'
            )
        self.is_split = _folders(self.root) == sorted(PARTS)
        first = self.root / 'train' if self.is_split else self.root
        self.labels = _folders(first)
        if len(self.labels) < 2:
            raise ValueError(
                f'VideoFolder: {first} needs a folder of videos for each class, at least two; it '
                f'has {self.labels or "none"}. Sort the videos into folders named as the classes.'
            )
        self._refuse_other_classes()
        parts = PARTS if self.is_split else ('',)
        self.parts = {part: self._list(part) for part in parts}

    def _refuse_other_classes(self) -> None:
        others = set(_folders(self.root / 'val')) - set(self.labels) if self.is_split else set()
        if others:
            raise ValueError(
                f'VideoFolder: {self.root}/val has classes that {self.root}/train lacks: '
                f'{", ".join(sorted(others))}. Give both the same class folders.'
            )

    def _list(self, part: str) -> list[Video]:
        folder, videos, empty = self.root / part, [], []
        for label, name in enumerate(self.labels):
            found = videos_below(folder / name) if (folder / name).is_dir() else []
            if not found and (part != 'val' or (folder / name).is_dir()):
                empty.append(name)
            videos += [Video(str(path.relative_to(self.root)), label) for path in found]
        if empty or not videos:
            raise ValueError(
                f'VideoFolder: no videos in the class folders {", ".join(empty)} of {folder}. '
                f'Remove the folders or add videos ({" ".join(sorted(SUFFIXES))}).'
            )
        return videos

    def check(self, every_frame: bool = False, num_threads: int = 1) -> list[Video]:
        """Open every video with the reader; keep the readable ones and their lengths.

        Reads the packets and decodes 8 evenly spaced frames, or all.

        Returns:
            The videos that cannot be used, each with the reason.

        Raises:
            ValueError: if a class has no readable video left to train on.
        """
        bad: list[Video] = []
        with ThreadPoolExecutor(max_workers=max(1, num_threads)) as pool:
            for part, videos in self.parts.items():
                seen = list(pool.map(lambda video: self._look_at(video, every_frame), videos))
                bad += [video for video in seen if video.reason]
                self.parts[part] = [video for video in seen if not video.reason]
        left = Counter(video.label for video in self.parts['train' if self.is_split else ''])
        gone = [name for label, name in enumerate(self.labels) if not left[label]]
        if gone or not all(self.parts.values()):
            listed = '\n  '.join(f'{video.path}: {video.reason}' for video in bad[:20])
            raise ValueError(
                f'VideoFolder: no video of {", ".join(gone) or "val"} can be read. Mend them or '
                f'remove the folder; {len(bad)} cannot be read in all:\n  {listed}'
            )
        return bad

    def _look_at(self, video: Video, every_frame: bool) -> Video:
        path = str(self.root / video.path)
        if any(sign in video.path for sign in '\t\r\n'):
            reason = 'its name holds a tab or a line break, which a list cannot; rename it'
            return Video(video.path, video.label, reason=reason)
        try:
            reader = open_video(path)
            total = len(reader)
            if every_frame:
                for start in range(0, total, 64):
                    reader.read(range(start, min(start + 64, total)))
            else:
                reader.read(np.linspace(0, total - 1, CHECKED_FRAMES).round().astype(int))
        except VideoReadError as error:
            return Video(video.path, video.label, reason=error.reason)
        return Video(video.path, video.label, total, reader.fps)

    def split(self, val_fraction: float = 0.2, seed: int = 0) -> dict[str, list[Video]]:
        """The videos of 'train' and 'val', the latter the same share of each class.

        The choice depends on the videos' names, the classes and the seed alone. A class has at
        least one video in training, and one in validation if it has two. Folders ``train`` and
        ``val`` are taken as they are.

        Raises:
            ValueError: if the fraction is not in (0, 1), or nothing is left to validate on.
        """
        if self.is_split:
            return dict(self.parts)
        if not 0 < val_fraction < 1:
            raise ValueError(
                f'VideoFolder: val_fraction must be a share of the videos in (0, 1), got '
                f'{val_fraction}.'
            )
        videos = self.parts['']
        names, labels = [video.path for video in videos], [video.label for video in videos]
        count = Counter(labels)
        chosen = set(balanced_fraction(names, labels, val_fraction, seed))
        if val_fraction > 0.5:  # rounding may take all of a class: leave it the first
            for label in set(labels) - {
                videos[i].label for i in range(len(videos)) if i not in chosen
            }:
                chosen.discard(labels.index(label))
        chosen = {i for i in chosen if count[labels[i]] > 1}
        if not chosen:
            raise ValueError(
                'VideoFolder: no class has two readable videos, so none is left to validate on. '
                'Add videos.'
            )
        parts: dict[str, list[Video]] = {'train': [], 'val': []}
        for i, video in enumerate(videos):
            parts['val' if i in chosen else 'train'].append(video)
        return parts


def write_list(path: Path, videos: list[Video]) -> None:
    """An annotation file, "path<tab>label" a line."""
    lines = [f'{video.path}{DELIMITER}{video.label}' for video in videos]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def _folders(folder: Path) -> list[str]:
    """Names of the visible folders in a folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith('.'))
