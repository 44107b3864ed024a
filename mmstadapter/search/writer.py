"""Adding to a video index so that it is whole after every step, whenever the process ends."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .first_stage import ABSENT, WORTHWHILE, Approximate, load_faiss, pooled
from .seals import note_stamp, seal
from .storage import (
    FEATURES,
    FORMAT,
    LOCK,
    MANIFEST,
    OURS,
    POOLED,
    Shard,
    VideoIndexError,
    VideoStamp,
    locked,
    read_manifest,
    write_manifest,
    write_shard,
)
from .video_index import open_shard

SMALL, LARGE = 32 << 20, 256 << 20  # bytes: smaller shards are merged into ones up to this size
MANY = 8  # small shards that are worth merging
TAIL = 0.1  # share of rows beyond the approximate stage from which on it is extended
GROWTH = 4  # times the rows its lists were made for: made anew


class IndexWriter:
    """The one process that changes an index; made by :func:`writing`.

    Videos are added to memory and become part of the index by :meth:`commit`, all segments of
    a video at once. What was committed is never written again, except when small shards are
    merged.

    Args:
        folder: of the index.
        manifest: its present one.
        say: takes lines for the user.
    """

    def __init__(
        self, folder: Path, manifest: dict[str, Any], say: Callable[[str], None] = print
    ) -> None:
        self.folder, self.manifest, self.say = folder, manifest, say
        self.pending: list[tuple[VideoStamp, dict[str, Tensor]]] = []
        self.shards: list[Shard] = []
        self._clean()
        self._open()

    def known(self) -> dict[str, VideoStamp]:
        """The indexed videos, and those that could not be read, by path."""
        stamps = {stamp.path: stamp for shard in self.shards for _, stamp in shard.kept()}
        for path, note in self.manifest['bad'].items():
            stamps[path] = VideoStamp(path, note['size'], note['mtime_ns'])
        return stamps

    @property
    def waiting(self) -> int:
        """Segments added and not yet committed."""
        return sum(len(tensors['start']) for _, tensors in self.pending)

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
        layout = {name: list(tensor.shape[1:]) for name, tensor in sorted(features.items())}
        expected = self.manifest['features'] or layout
        if layout != expected:
            raise VideoIndexError(
                f'VideoIndex: {stamp.path} has features of shapes {layout}, the index has '
                f'{expected}. Sample the same number of frames as before, or index into another '
                'folder.'
            )
        self.manifest['features'] = layout
        times = torch.tensor(spans, dtype=torch.float64).T
        self.pending.append((stamp, dict(features) | dict(start=times[0], end=times[1])))

    def note_bad(self, stamp: VideoStamp, reason: str) -> None:
        """A file that cannot be read; it is tried again when it has changed."""
        self._drop([stamp.path])
        self.manifest['bad'][stamp.path] = dict(
            size=stamp.size, mtime_ns=stamp.mtime_ns, reason=reason
        )

    def drop(self, paths: Iterable[str]) -> None:
        """Take files out of the index at the next commit."""
        self._drop(paths)

    def commit(self) -> None:
        """Make everything so far part of the index."""
        if self.pending:
            self._drop([stamp.path for stamp, _ in self.pending])
            tensors = [
                part | dict(video=torch.full((len(part['start']),), number, dtype=torch.int32))
                for number, (_, part) in enumerate(self.pending)
            ]
            self._append(_joined(tensors), [stamp for stamp, _ in self.pending])
            self.pending = []
        self._publish()

    def tidy(self) -> None:
        """Merge small shards, and shards most of which was dropped."""
        fixed = set((self.manifest['approximate'] or {}).get('shards', []))
        mostly_gone = [s for s in self.shards if int(s.alive.sum()) * 2 < s.rows]
        small = [s for s in self.shards if s.path.name not in fixed and _bytes(s) < SMALL]
        merged = [
            shard
            for shard in self.shards
            if shard in mostly_gone or (len(small) >= MANY and shard in small)
        ]
        if not merged:
            return
        if any(shard.path.name in fixed for shard in merged):
            self.manifest['approximate'] = None
        for group in _groups(merged):
            self._merge(group)
        self._publish()
        self._clean()

    def build_first_stage(self) -> None:
        """Build or extend the approximate stage where there are enough segments."""
        rows = sum(shard.rows for shard in self.shards)
        entry = self.manifest['approximate']
        if rows < WORTHWHILE or (entry and rows - entry['rows'] < TAIL * rows):
            return
        if load_faiss() is None:
            self.say(ABSENT)
            return
        name, names = self._next('approximate', 'faiss'), [s.path.name for s in self.shards]
        path = self.folder / name
        if entry and rows < GROWTH * entry['made_for']:
            made_for = entry['made_for']
            new = self.shards[len(entry['shards']) :]
            Approximate.extend(self.folder / entry['file'], path, new)
        else:
            made_for = rows
            self.say(f'building the approximate stage for {rows:,} segments')
            Approximate.write(path, self.shards)
        made = dict(file=name, shards=names, rows=rows, made_for=made_for)
        self.manifest['approximate'] = made | seal(path)
        self._publish()
        self._clean()

    def _open(self) -> None:
        """Open the shards; one that is lost or damaged is left out, so its videos come again."""
        kept = []
        for entry in self.manifest['shards']:
            try:
                self.shards.append(open_shard(self.folder, entry))
                note_stamp(self.folder / entry['file'], entry)
                kept.append(entry)
            except VideoIndexError as error:
                cause = error.__cause__
                is_there = not isinstance(cause, FileNotFoundError)
                if is_there and isinstance(cause, OSError | RuntimeError):
                    raise  # permissions, disk, memory: no reason to do all that work again
                self.say(f'{error}. Its videos are indexed again.')
        self.manifest['shards'] = kept
        if not self._stage_is_whole([entry['file'] for entry in kept]):
            self.manifest['approximate'] = None

    def _stage_is_whole(self, shards: list[str]) -> bool:
        entry = self.manifest['approximate']
        if not entry or shards[: len(entry['shards'])] != entry['shards']:
            return False
        path = self.folder / entry['file']
        try:
            return path.is_file() and (not load_faiss() or bool(Approximate(path, entry['rows'])))
        except VideoIndexError as error:
            self.say(f'{error}. It is built again.')
            return False

    def _clean(self) -> None:
        """Remove files that a process left behind when it was killed, and merged shards."""
        kept = {MANIFEST, LOCK, *(entry['file'] for entry in self.manifest['shards'])}
        kept.add((self.manifest['approximate'] or {}).get('file'))
        for path in self.folder.iterdir():
            if OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink(missing_ok=True)

    def _drop(self, paths: Iterable[str]) -> None:
        gone = set(paths)
        for path in gone & self.manifest['bad'].keys():
            del self.manifest['bad'][path]
        for shard, entry in zip(self.shards, self.manifest['shards'], strict=True):
            numbers = [number for number, stamp in shard.kept() if stamp.path in gone]
            if numbers:
                shard.drop(numbers)
                entry['dropped'] = shard.dropped

    def _next(self, kind: str, ending: str) -> str:
        self.manifest['next'] += 1
        return f'{kind}-{self.manifest["next"]:06d}.{ending}'

    def _append(self, tensors: dict[str, Tensor], videos: list[VideoStamp]) -> None:
        if 'vector' not in tensors:
            features = {name: tensors[name] for name in FEATURES if name in tensors}
            tensors = tensors | {POOLED: pooled(features)}
        name = self._next('shard', 'safetensors')
        entry = dict(file=name, rows=len(tensors['start']), dropped=[])
        write_shard(self.folder / name, tensors, videos)
        entry |= seal(self.folder / name)
        self.shards.append(open_shard(self.folder, entry))
        self.manifest['shards'].append(entry)

    def _merge(self, group: list[Shard]) -> None:
        parts: list[dict[str, Tensor]] = []
        videos: list[VideoStamp] = []
        for shard in group:
            numbers = torch.full((len(shard.videos),), -1, dtype=torch.int32)
            for number, stamp in shard.kept():
                numbers[number] = len(videos)
                videos.append(stamp)
            part = {name: tensor[shard.alive] for name, tensor in shard.tensors.items()}
            parts.append(part | dict(video=numbers[part['video'].long()]))
        self._remove(group)
        if videos:
            self._append(_joined(parts), videos)

    def _remove(self, group: list[Shard]) -> None:
        kept = [
            pair
            for pair in zip(self.shards, self.manifest['shards'], strict=True)
            if pair[0] not in group
        ]
        self.shards = [shard for shard, _ in kept]
        self.manifest['shards'] = [entry for _, entry in kept]

    def _publish(self) -> None:
        write_manifest(self.folder, self.manifest)


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
    if folder.is_dir() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        _refuse_foreign(folder)
    with locked(folder):
        manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
        if not manifest.get('shards'):
            manifest = dict(
                format=FORMAT,
                root=str(Path(root).resolve()),
                seconds=seconds,
                features=None,
                next=manifest.get('next', 0),
                approximate=None,
                shards=[],
                bad={},
                model=dict(model),
            )
        yield IndexWriter(folder, manifest, say)


def _refuse_foreign(folder: Path) -> None:
    others = [path.name for path in folder.iterdir() if not OURS.fullmatch(path.name)]
    if others:
        raise VideoIndexError(
            f'VideoIndex: {folder} holds other files ({", ".join(sorted(others)[:3])}) and no '
            'index. Give the index a folder of its own.'
        )


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _bytes(shard: Shard) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in shard.tensors.values())


def _groups(shards: list[Shard]) -> Iterator[list[Shard]]:
    """Neighbouring shards whose sizes add up to at most that of a large one."""
    group: list[Shard] = []
    for shard in shards:
        if group and sum(map(_bytes, group)) + _bytes(shard) > LARGE:
            yield group
            group = []
        group.append(shard)
    if group:
        yield group
