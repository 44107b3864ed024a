"""A folder of class folders of videos: what is in it, what can be read, how it is split."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.files import DELIMITER, sorted_out, why_not, why_not_listed, write_lines
from ..datasets.fraction import balanced_fraction
from ..datasets.packets import VideoReadError
from ..datasets.readers import open_video
from ..printing import shown
from .caption_list import SUFFIXES
from .layout import class_folders, find_parts, folders_in

CHECKED_FRAMES = 8  # decoded of every video, evenly spaced


@dataclass(frozen=True)
class Video:
    """A video of the folder; path relative to it, length in frames, 0 where it is unknown."""

    path: str
    label: int
    frames: int = 0
    fps: float = 0.0
    reason: str = ''  # why it cannot be used; empty where it can


class VideoFolder:
    """The videos of ``root/<class>/...`` or of ``root/{train,val,test}/<class>/...``.

    Class folders may hold folders. Labels are the class folders' names in alphabetic order.
    ``Train``, ``training``, ``valid``, ``validation``, ``dev``, ``testing`` ... are known as well;
    one of ``val`` and ``test`` may be absent.

    Args:
        root: the folder.
        layout: ``'classes'`` if the folders in it are the classes, whatever they look like.

    Attributes:
        parts: videos of 'train', 'val' and 'test', or of ''.
        left_out: files that are not taken for videos, or lie in no class folder, and why.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: fewer than two classes, a class folder without videos, a class in ``val`` or
            ``test`` that ``train`` does not have, or folders that can be read in two ways.
    """

    def __init__(self, root: str | Path, layout: str = 'auto') -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f'VideoFolder: no folder {root}. Give a folder of class folders.'
            )
        folders = find_parts(self.root, layout)
        self.is_split = '' not in folders
        self.labels = folders_in(next(iter(folders.values())))
        if len(self.labels) < 2:
            raise ValueError(
                f'VideoFolder: {next(iter(folders.values()))} needs a folder of videos for each '
                f'class, at least two; it has {self.labels or "none"}. Sort the videos into '
                f'folders named as the classes.{self._hint()}'
            )
        self.left_out: dict[str, str] = {}
        for folder in {self.root, *folders.values()}:
            self._leave_out(path for path in folder.iterdir() if not path.is_dir())
        self.parts = {
            part: self._list(folders[part], names) for part, names in class_folders(folders).items()
        }

    @property
    def first(self) -> str:
        """The part that is trained on, or all."""
        return 'train' if self.is_split else ''

    def _hint(self) -> str:
        lists = sorted(path for path in self.root.iterdir() if path.suffix.lower() in SUFFIXES)
        return f' To learn captions, give their list itself: {lists[0]}' if lists else ''

    def _leave_out(self, paths: Iterable[Path]) -> None:
        for path in sorted(paths):
            self.left_out[self._name(path)] = why_not(path) or 'in no class folder'

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def _list(self, folder: Path, names: list[str]) -> list[Video]:
        videos, empty = [], []
        for label, name in enumerate(names):
            if not name:  # a class of train that is not tested
                continue
            found, others = sorted_out(folder / name)
            if not found:
                empty.append(shown(name))
            videos += [Video(self._name(path), label) for path in found]
            self.left_out |= {self._name(path): reason for path, reason in others.items()}
        if empty or not videos:
            listed = [f'\n  {shown(path)}: {why}' for path, why in self.left_out.items()]
            where = f'the class folders {", ".join(empty)} of {folder}' if empty else folder
            raise ValueError(
                f'VideoFolder: no videos in {where}. Remove the folders or add videos.'
                f'{"".join(listed[:20])}'
            )
        return videos

    def check(
        self,
        every_frame: bool = False,
        num_threads: int = 1,
        step: Callable[[], Any] = lambda: None,
    ) -> list[Video]:
        """Open every video with the reader; keep the readable ones and their lengths.

        Reads the packets and decodes 8 evenly spaced frames, or all.

        Args:
            every_frame: decode all frames.
            num_threads: videos read at the same time.
            step: called after each video.

        Returns:
            The videos that cannot be used, each with the reason.

        Raises:
            ValueError: if a class has no readable video left to train on.
        """
        bad: list[Video] = []
        with ThreadPoolExecutor(max_workers=max(1, num_threads)) as pool:
            for part, videos in self.parts.items():
                seen = []
                for video in pool.map(lambda video: self._look_at(video, every_frame), videos):
                    seen.append(video)
                    step()
                bad += [video for video in seen if video.reason]
                self.parts[part] = [video for video in seen if not video.reason]
        self._refuse_lost(bad)
        return bad

    def _refuse_lost(self, bad: list[Video]) -> None:
        """Every class, and every part, needs a video that can be read."""
        left = Counter(video.label for video in self.parts[self.first])
        gone = [name for label, name in enumerate(self.labels) if not left[label]]
        if gone or not all(self.parts.values()):
            listed = '\n  '.join(f'{shown(video.path)}: {video.reason}' for video in bad[:20])
            empty = [part for part, videos in self.parts.items() if not videos]
            raise ValueError(
                f'VideoFolder: no video of {", ".join(map(shown, gone or empty))} can be read. '
                f'Repair them or remove the folder; {len(bad)} cannot be read in all:\n  {listed}'
            )

    def _look_at(self, video: Video, every_frame: bool) -> Video:
        path = str(self.root / video.path)
        if reason := why_not_listed(video.path):
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
        least one video in training, and one in validation if it has two. Folders ``train``,
        ``val`` and ``test`` are taken as they are: with all three there is a part 'test' as well,
        and a lone ``test`` is 'val'.

        Raises:
            ValueError: if the fraction is not in (0, 1), or nothing is left to validate on.
        """
        if self.is_split:
            parts = dict(self.parts)
            return parts if 'val' in parts else dict(train=parts['train'], val=parts['test'])
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
        parts = {'train': [], 'val': []}
        for i, video in enumerate(videos):
            parts['val' if i in chosen else 'train'].append(video)
        return parts


def write_list(path: Path, videos: list[Video]) -> None:
    """An annotation file, "path<tab>label" a line."""
    write_lines(path, (f'{video.path}{DELIMITER}{video.label}' for video in videos))
