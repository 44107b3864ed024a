"""Adding to a video index so that it is whole after every step, whenever the process ends."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .columns import (
    append,
    column_paths,
    damaged,
    file_checksum,
    note,
    open_columns,
    row_bytes,
    rows_there,
    stored,
)
from .first_stage import ABSENT, WORTHWHILE, Approximate, load_faiss, open_stage, pooled, stage_path
from .manifest import Bad, Block, Manifest, Video
from .storage import LOCK, MANIFEST, OURS, VideoIndexError, VideoStamp, locked

COPIED = 32 << 20  # bytes that are in memory while columns are copied
TAIL = 0.1  # share of rows beyond the approximate stage from which on it is extended
GROWTH = 4  # times the rows its lists were made for: made anew


class IndexWriter:
    """The one process that changes an index; made by :func:`writing`.

    Videos are added to memory and become part of the index by :meth:`commit`, all segments of
    a video at once. What was committed is never written again, except when most of it counts no
    more.

    Args:
        folder: of the index.
        manifest: its present one.
        say: takes lines for the user.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, say: Callable[[str], None] = print
    ) -> None:
        self.folder, self.manifest, self.say = folder, manifest, say
        self.pending: list[tuple[VideoStamp, dict[str, Tensor]]] = []
        self.is_damaged = False
        self._leave_out_damaged()
        self._clean()

    def known(self) -> dict[str, VideoStamp]:
        """The indexed videos, and those that could not be read, by path."""
        bad = {path: VideoStamp(path, *bad[:2]) for path, bad in self.manifest.bad.items()}
        return self.manifest.stamps() | bad

    @property
    def waiting(self) -> int:
        """Segments added and not yet committed."""
        return sum(len(columns['times']) for _, columns in self.pending)

    def add(
        self, stamp: VideoStamp, features: Mapping[str, Tensor], spans: list[tuple[float, float]]
    ) -> None:
        """All segments of a video, in the place of what the index has of that file.

        Args:
            stamp: the file as it was before it was read.
            features: feature dict of its n segments.
            spans: from and to of each, seconds.

        Raises:
            VideoIndexError: features that are not finite, or unlike those in the index.
        """
        for name, tensor in features.items():
            if not tensor.isfinite().all():
                raise VideoIndexError(
                    f'VideoIndex: the model gives {name} that are not finite (NaN or infinite) '
                    f'for {stamp.path}; nothing of it is stored. Check the weights; on a GPU in '
                    '16 bit, try float32.'
                )
        columns = dict(features) | dict(times=torch.tensor(spans, dtype=torch.float64))
        if 'vector' not in features:
            columns['pooled'] = pooled(features)
        columns = {name: stored(name, tensor) for name, tensor in columns.items()}
        layout = {name: list(tensor.shape[1:]) for name, tensor in columns.items()}
        self.manifest.layout = self.manifest.layout or layout
        if layout != self.manifest.layout:
            raise VideoIndexError(
                f'VideoIndex: {stamp.path} has features of shapes {layout}, the index has '
                f'{self.manifest.layout}. Sample the same number of frames as before, or index '
                'into another folder.'
            )
        self.pending.append((stamp, columns))

    def note_bad(self, stamp: VideoStamp, reason: str) -> None:
        """A file that cannot be read; it is tried again when it has changed."""
        self.manifest.drop(stamp.path)
        self.manifest.bad[stamp.path] = Bad(stamp.size, stamp.mtime_ns, reason)

    def rename(self, olds: Mapping[str, str], stamps: Mapping[str, VideoStamp]) -> None:
        """Let the segments of files be those of others; their numbers stay where they are.

        Args:
            olds: the path a file was indexed under, by its present one.
            stamps: the files as they are now, by their present path.
        """
        videos = {path: self.manifest.videos.pop(old) for path, old in olds.items()}
        for path, video in videos.items():
            self.manifest.drop(path)
            now = stamps[path]
            self.manifest.videos[path] = video._replace(size=now.size, mtime_ns=now.mtime_ns)

    def drop(self, paths: Iterable[str]) -> None:
        """Take files out of the index at the next commit."""
        for path in paths:
            self.manifest.drop(path)

    def commit(self) -> None:
        """Make everything so far part of the index on disk."""
        if self.is_damaged:
            self._copy()
        if self.pending:
            stamps, parts = zip(*self.pending, strict=True)
            columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            lengths = [len(part['times']) for part in parts]
            self._append(self.manifest, columns, stamps, lengths)
            self.pending = []
        self._publish()

    def tidy(self) -> None:
        """Give back the room of what was dropped, if that is most of the index."""
        if 2 * self.manifest.segments < self.manifest.rows:
            self._copy()
            self._publish()

    def build_first_stage(self) -> None:
        """Build or extend the approximate stage where there are enough segments."""
        rows, entry = self.manifest.rows, self.manifest.approximate
        if rows < WORTHWHILE or (entry and rows - entry['rows'] < TAIL * rows):
            return
        if load_faiss() is None:
            self.say(ABSENT)
            return
        columns, path = self._columns(), stage_path(self.folder, self.manifest, rows)
        vectors = columns['pooled' if 'pooled' in columns else 'vector']
        if entry and rows < GROWTH * entry['made_for']:
            old, made_for = stage_path(self.folder, self.manifest, entry['rows']), entry['made_for']
            Approximate.extend(old, path, vectors[entry['rows'] :])
        else:
            made_for = rows
            self.say(f'building the approximate stage for {rows:,} segments')
            Approximate.write(path, vectors)
        self.manifest.approximate = dict(rows=rows, made_for=made_for, sha256=file_checksum(path))
        self._publish()

    def _columns(self) -> dict[str, Tensor]:
        return open_columns(self.folder, self.manifest, rows_there(self.folder, self.manifest))

    def _leave_out_damaged(self) -> None:
        """Let lost or damaged segments count no more, so that their videos come again."""
        for block, path in list(damaged(self.folder, self.manifest, self._columns())):
            self.say(
                f'{path}: segments {block.start} to {block.stop - 1} are not those that were '
                'written. Their videos are indexed again.'
            )
            self.manifest.blocks.remove(block)
            for name, video in list(self.manifest.videos.items()):
                if block.start <= video.start < block.stop:
                    self.manifest.drop(name)
            self.is_damaged = True
        try:
            if self.manifest.approximate and load_faiss():
                open_stage(self.folder, self.manifest)
        except VideoIndexError as error:
            self.say(f'{error}. It is built again.')
            self.manifest.approximate = None

    def _append(
        self,
        manifest: Manifest,
        columns: Mapping[str, Tensor],
        stamps: Iterable[VideoStamp],
        lengths: Iterable[int],
    ) -> None:
        """Rows behind those that count, of so many for each video."""
        paths, start = column_paths(self.folder, manifest), manifest.rows
        sums = {name: append(paths[name], start, column) for name, column in columns.items()}
        stops = list(accumulate(lengths, initial=start))
        for stamp, rows in zip(stamps, pairwise(stops), strict=True):
            manifest.drop(stamp.path)
            manifest.videos[stamp.path] = Video(stamp.size, stamp.mtime_ns, *rows, stamp.sha256)
        manifest.rows = stops[-1]
        manifest.blocks.append(Block(start, manifest.rows, sums))

    def _copy(self) -> None:
        """Write what counts into columns of the next generation."""
        old, stamps = self._columns(), self.manifest.stamps()
        number = self.manifest.generation + 1
        copy = replace(
            self.manifest, rows=0, generation=number, approximate=None, videos={}, blocks=[]
        )
        size = max(1, COPIED // sum(map(row_bytes, old.values())))
        for group in _groups(self.manifest.videos, size):
            rows = torch.cat([torch.arange(video.start, video.stop) for video in group.values()])
            columns = {name: column[rows] for name, column in old.items()}
            lengths = [video.stop - video.start for video in group.values()]
            self._append(copy, columns, [stamps[path] for path in group], lengths)
        self.manifest, self.is_damaged = copy, False

    def _files(self) -> list[Path]:
        """The files with numbers that count."""
        entry = self.manifest.approximate
        stage = [stage_path(self.folder, self.manifest, entry['rows'])] if entry else []
        return [*column_paths(self.folder, self.manifest).values(), *stage]

    def _publish(self) -> None:
        self.manifest.noted = {path.name: note(path) for path in self._files()}
        self.manifest.write(self.folder)
        self._clean()

    def _clean(self) -> None:
        """Remove files that a process left behind when it was killed, and earlier generations."""
        kept = {MANIFEST, LOCK, *(path.name for path in self._files())}
        for path in self.folder.iterdir():
            if OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink(missing_ok=True)


@contextmanager
def writing(
    folder: str | Path,
    model: Mapping[str, Any],
    root: str | Path,
    seconds: float,
    say: Callable[[str], None] = print,
) -> Iterator[IndexWriter]:
    """Open an index to add to it, or begin one; only one process at a time can.

    What was added and not committed is lost, and nothing else. An index without segments is
    begun anew: nothing in it binds it to a model.

    Args:
        folder: of the index.
        model: description of the model, kept in a new index; JSON.
        root: folder of the videos.
        seconds: length of a segment; 0 for whole videos.
        say: takes lines for the user.

    Raises:
        VideoIndexError: another process is writing, or a damaged index.
    """
    folder = Path(folder)
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        _refuse_foreign(folder)
    with locked(folder):
        manifest = Manifest.read(folder) if (folder / MANIFEST).is_file() else None
        if manifest is None or not manifest.rows:
            manifest = Manifest(str(Path(root).resolve()), seconds, dict(model))
        yield IndexWriter(folder, manifest, say)


def _refuse_foreign(folder: Path) -> None:
    others = [path.name for path in folder.iterdir() if not OURS.fullmatch(path.name)]
    if others:
        raise VideoIndexError(
            f'VideoIndex: {folder} holds other files ({", ".join(sorted(others)[:3])}) and no '
            'index. Give the index a folder of its own.'
        )


def _groups(videos: Mapping[str, Video], size: int) -> Iterator[dict[str, Video]]:
    """Videos that have about so many rows together, one at least."""
    ends = accumulate(video.stop - video.start for video in videos.values())
    pairs = zip(ends, videos.items(), strict=True)
    for _, group in groupby(pairs, lambda pair: pair[0] // size):
        yield dict(video for _, video in group)
