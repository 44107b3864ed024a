"""Videos with captions, listed in a CSV file: what can be read, how they are split."""

from collections import Counter, defaultdict
from os.path import isfile
from pathlib import Path
from unicodedata import normalize

from ..datasets.fraction import balanced_fraction
from ..printing import shown
from .caption_list import Row, read_rows
from .layout import part_of
from .own_videos import Video, VideoFolder

FEWEST = 2  # videos on a side: contrast needs another, and so does finding the right one
SHOWN = 20


class CaptionedVideos(VideoFolder):
    """The videos of a CSV file with the columns ``video`` and ``caption``, and perhaps ``split``.

    A video has as many captions as rows. Splits are named as `VideoFolder` knows them, for all
    rows or for none.

    Args:
        path: the CSV file, see `read_rows`.
        videos: the folder that its paths start from; its own if None.

    Attributes:
        captions: those of each video, by its path, in the order of the rows.
        unread: columns that say nothing here.

    Raises:
        FileNotFoundError: no such file or folder, or videos that are not there.
        ValueError: rows that cannot be read, a file under two names, or splits that cannot be.
    """

    def __init__(self, path: str | Path, videos: str | Path | None = None) -> None:
        self.list = Path(path).resolve()
        rows, self.unread = read_rows(self.list)
        self.root = self.list.parent if videos is None else Path(videos).resolve()
        if not self.root.is_dir():
            raise FileNotFoundError(f'mmstadapter fit: no folder {videos} for --videos.')
        self.labels: list[str] = []
        self.left_out: dict[str, str] = {}
        names = self._names(rows)
        self.captions: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            self.captions[names[row.video]].append(row.caption)
        self.parts = {part: [] for part in ('train', 'val', 'test')}
        for name, part in self._sides(rows, names).items():
            self.parts.setdefault(part, []).append(Video(name, 0))
        self.parts = {part: found for part, found in self.parts.items() if found}
        self.is_split = '' not in self.parts

    def _names(self, rows: list[Row]) -> dict[str, str]:
        """Where each video of the list lies, relative to the root; each file under one name."""
        names = {row.video: self._file(row.video) for row in rows}
        lost = [f'line {row.line}: {shown(row.video)}' for row in rows if not names[row.video]]
        if lost:
            raise FileNotFoundError(
                f'mmstadapter fit: {len(lost)} rows of {self.list} name videos that are not in '
                f'{self.root}. Correct the paths, or give the folder they start from (--videos).'
                + ''.join(f'\n  {line}' for line in lost[:SHOWN])
            )
        files: dict[Path, str] = {}
        for name in names.values():
            other = files.setdefault((self.root / name).resolve(), name)
            if other != name:
                raise ValueError(
                    f'mmstadapter fit: {shown(other)} and {shown(name)} of {self.list} are the '
                    'same file. Give all its captions under one name.'
                )
        return names

    def _file(self, name: str) -> str:
        """A video's path without detours; '' if it is not there. Macs write letters otherwise."""
        for text in (name, normalize('NFC', name), normalize('NFD', name)):
            if isfile(self.root / text):
                return str(Path(text))
        return ''

    def _sides(self, rows: list[Row], names: dict[str, str]) -> dict[str, str]:
        """The part that each video is of, '' where no row has a split."""
        parts = {row.split: part_of(row.split) for row in rows}
        if not any(parts):
            return dict.fromkeys(names.values(), '')
        sides: dict[str, str] = {}
        for row in rows:
            part, name = parts[row.split], names[row.video]
            if not part or sides.setdefault(name, part) != part:
                what = f'{shown(name)} in two splits' if part else f'split {row.split!r}'
                raise ValueError(
                    f'mmstadapter fit: line {row.line} of {self.list} has {what}. Each video must '
                    'be in one of train, val and test; or leave the column out.'
                )
        if len(set(sides.values())) < 2 or 'train' not in sides.values():
            raise ValueError(
                f'mmstadapter fit: {self.list} has the splits {", ".join(set(sides.values()))}; it '
                'needs train, and val or test. Add them, or leave the column out.'
            )
        return sides

    def _refuse_lost(self, bad: list[Video]) -> None:
        """Both sides need two videos that can be read."""
        needed = FEWEST if self.is_split else 2 * FEWEST
        few = [part for part, videos in self.parts.items() if len(videos) < needed]
        if few:
            listed = ''.join(f'\n  {shown(v.path)}: {v.reason}' for v in bad[:SHOWN])
            where = f'the split {few[0]} of {self.list}' if few[0] else self.list
            raise ValueError(
                f'mmstadapter fit: {where} has {len(self.parts[few[0]])} videos that can be read, '
                f'at least {needed} are needed to learn which caption is whose. Add videos; '
                f'{len(bad)} cannot be read in all.{listed}'
            )

    def split(self, val_fraction: float = 0.2, seed: int = 0) -> dict[str, list[Video]]:
        """The videos of 'train' and 'val', at least two in each; see `VideoFolder.split`.

        Raises:
            ValueError: if the fraction is not in (0, 1).
        """
        if self.is_split or not 0 < val_fraction < 1:
            return super().split(val_fraction, seed)
        videos = self.parts['']
        count = min(max(FEWEST, round(val_fraction * len(videos))), len(videos) - FEWEST)
        names = [video.path for video in videos]
        chosen = set(balanced_fraction(names, [0] * len(names), count / len(names), seed))
        parts: dict[str, list[Video]] = {'train': [], 'val': []}
        for i, video in enumerate(videos):
            parts['val' if i in chosen else 'train'].append(video)
        return parts

    def listed(self, videos: list[Video]) -> dict[str, list[str]]:
        """What `CaptionDataset` reads of some videos."""
        return {video.path: self.captions[video.path] for video in videos}

    def shared(self, videos: list[Video]) -> int:
        """How many captions of some videos are those of several of them."""
        times = Counter(text for video in videos for text in set(self.captions[video.path]))
        return sum(count > 1 for count in times.values())
