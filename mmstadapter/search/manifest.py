"""The manifest of a video index, ``index.json``: what counts in its folder.

It is replaced as a whole, by a renamed file, after the rows it lists are on the disk. So an index
is whole at every moment, and searching needs no lock and no permission to write. Why it is no
database: docs/decisions/0008-an-index-is-columns-and-a-manifest.md.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..weights.saving import written_whole
from .storage import MANIFEST, VideoIndexError, VideoStamp

FORMAT = 'mmstadapter-video-index-3'
READ = (FORMAT, 'mmstadapter-video-index-2')  # which knows no content of videos
LAST = ', "sha256": '  # the last entry is the checksum of all text before it


class Video(NamedTuple):
    """A video as it was indexed, its rows (the first and the one behind them), its content."""

    size: int
    mtime_ns: int
    start: int
    stop: int
    sha256: str = ''


class Bad(NamedTuple):
    """A file that cannot be read."""

    size: int
    mtime_ns: int
    reason: str


class Block(NamedTuple):
    """Rows that were written at once, and the checksum of each column's."""

    start: int
    stop: int
    sums: dict[str, str]


@dataclass
class Manifest:
    """What an index is and holds.

    Attributes:
        root: folder of the videos.
        seconds: length of a segment; 0 for whole videos.
        model: what made the features.
        layout: shape of a row of each column.
        rows: that count; others are what a process had added when it died.
        generation: number of the columns' files, which are copied when most of them is dropped.
        approximate: the first stage, if there is one: ``rows``, ``made_for``, ``sha256``.
        noted: size and time of change of files whose checksums were right.
        videos: by path below the root.
        bad: files that cannot be read, by path.
        blocks: the checksums.
    """

    root: str
    seconds: float
    model: dict[str, Any]
    layout: dict[str, list[int]] = field(default_factory=dict)
    rows: int = 0
    generation: int = 1
    approximate: dict[str, Any] | None = None
    noted: dict[str, list[int] | None] = field(default_factory=dict)
    videos: dict[str, Video] = field(default_factory=dict)
    bad: dict[str, Bad] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> 'Manifest':
        """That of an index.

        Raises:
            FileNotFoundError: if the folder holds no index.
            VideoIndexError: if it is damaged or of another version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f'VideoIndex: no index in {folder}. Make one with `mmstadapter index VIDEO_DIR '
                f'--index {folder}`.'
            )
        try:
            text = path.read_text(encoding='utf-8')
            entries = json.loads(text)
            found, checksum = entries.pop('format'), entries.pop('sha256', None)
            if found in READ:
                if _checksum(text.rpartition(LAST)[0]) != checksum:
                    raise ValueError('its checksum is another')
                return cls._of(entries)
        except (ValueError, AttributeError, LookupError, TypeError) as error:
            raise VideoIndexError(
                f'VideoIndex: {path} is damaged ({error}). Remove the folder and index again.'
            ) from error
        raise VideoIndexError(
            f'VideoIndex: {path} is of format {found!r}, this version reads {FORMAT!r}. Index '
            'again into another folder.'
        )

    @classmethod
    def _of(cls, entries: dict[str, Any]) -> 'Manifest':
        found = cls(**entries)
        found.videos = {path: Video(*video) for path, video in found.videos.items()}
        found.bad = {path: Bad(*bad) for path, bad in found.bad.items()}
        found.blocks = [Block(*block) for block in found.blocks]
        wrong = [name for name, kind in KINDS.items() if not isinstance(getattr(found, name), kind)]
        if not all(0 <= v.start <= v.stop <= found.rows for v in found.videos.values()):
            wrong.append('videos')
        if wrong:
            raise ValueError(f'other than an index has it: {", ".join(wrong)}')
        return found

    def write(self, folder: Path) -> None:
        """Put it in the place of the present one, in one step."""
        text = json.dumps(dict(format=FORMAT, **vars(self))).removesuffix('}')
        with written_whole(folder / MANIFEST) as part:
            part.write_text(f'{text}{LAST}"{_checksum(text)}"}}\n', encoding='utf-8')

    def stamps(self) -> dict[str, VideoStamp]:
        """The indexed videos by path."""
        return {
            path: VideoStamp(path, video.size, video.mtime_ns, video.sha256)
            for path, video in self.videos.items()
        }

    @property
    def segments(self) -> int:
        """How many count."""
        return sum(video.stop - video.start for video in self.videos.values())

    def drop(self, path: str) -> None:
        """Let a file count no more."""
        self.videos.pop(path, None)
        self.bad.pop(path, None)


KINDS = dict(root=str, seconds=int | float, model=dict, layout=dict, rows=int, generation=int,
             approximate=dict | None, noted=dict)  # fmt: skip


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
