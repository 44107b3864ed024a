"""What the preparations of captioned data sets share: matching, counting, writing.

All write one form, which mmstadapter.CaptionDataset reads: a json object, video by video,
{"path": ["caption", ...], ...}.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from .files import check_found, images_of, need, some, videos_of, write


def key(name: str) -> str:
    """A video's id: the last part of a path up to its first dot."""
    return name.rpartition('/')[2].partition('.')[0]


def media_of(folder: Path, frames: bool) -> dict[str, str]:
    """Path below ``folder`` of the video, or of the folder of frames, of each id.

    Raises:
        SystemExit: if an id occurs twice.
    """
    paths = _frame_folders(folder) if frames else videos_of(folder)
    times = Counter(map(key, paths))
    twice = sorted(name for name, count in times.items() if count > 1)
    if twice:
        raise SystemExit(f'{folder}: {len(twice)} ids occur more than once: {some(twice)}')
    return {key(path): path for path in paths}


def _frame_folders(root: Path) -> list[str]:
    found = []
    for folder, folders, _ in os.walk(root, followlinks=True):
        folders.sort()
        if images_of(Path(folder)):
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
        captions: Mapping[str, list[str]],
        official: tuple[int, int] | None = None,
    ) -> None:
        """Match a split with its captions and the videos on disk, and print its counts.

        Args:
            file: name of the list to write.
            names: the videos of the split, in order.
            captions: captions of each video, by id.
            official: how many videos and captions the split has; printed where it differs.

        Raises:
            SystemExit: if a video is listed twice, has no captions, or some that are not text.
        """
        ids = [key(name) for name in names]
        twice = [name for name, count in Counter(ids).items() if count > 1]
        _refuse(file, 'are listed more than once', twice)
        texts = {name: captions.get(name, []) for name in ids}
        wrong = [name for name, some_texts in texts.items() if not _are_texts(some_texts)]
        _refuse(file, 'have captions that are no list of texts', wrong)
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
        check_found(self.root, self.lists, self.missing, self.allow_missing)
        for file, found in self.lists.items():
            write(self.root / file, [json.dumps(found, ensure_ascii=False, indent=0)])
        print(f'written to {self.root}: {", ".join(self.lists)}')


def _are_texts(value) -> bool:
    """Whether it is a list of texts that can be written (half a surrogate pair cannot)."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return False
    return not any('\ud800' <= character <= '\udfff' for text in value for character in text)


def _refuse(file: str, what: str, names: list[str]) -> None:
    if names:
        raise SystemExit(f'{file}: {len(names):,} videos {what}: {some(names)}; nothing written.')
