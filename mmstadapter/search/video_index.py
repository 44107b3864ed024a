"""Search in a video index: which segments are most like a caption."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..models.retrieval import score
from .first_stage import ABSENT, Approximate, load_faiss, pooled
from .seals import check_seal, small
from .storage import Shard, VideoIndexError, VideoStamp, read_manifest, refuse_outside

PAIR_FLOATS = 1 << 26  # cosines held at a time: 256 MiB
ATTEMPTS = 5  # to open an index that is being written meanwhile


@dataclass(frozen=True)
class Hit:
    """A segment found: file below the index's root, from and to in seconds, similarity."""

    video: str
    start: float
    end: float
    score: float

    def asdict(self) -> dict[str, Any]:
        """As a dict that JSON can hold."""
        return asdict(self)


class VideoIndex:
    """The features of a folder's videos, cut into segments; searched by features of captions.

        index = mmstadapter.VideoIndex('work_dirs/index')
        hits = index.search(model.encode_captions(['a dog jumps into water']))[0]

    :class:`VideoSearch` holds the model as well. The features stay on the disk and are mapped
    into memory; nothing in the folder is executed.

    Args:
        folder: what ``mmstadapter index`` wrote.

    Attributes:
        root: folder of the videos.
        seconds: length of a segment as asked for; 0 means whole videos.
        model: what the index says about the model that made it.
        bad: why files below the root could not be decoded, by path.

    Raises:
        FileNotFoundError: no index there.
        VideoIndexError: one that is damaged (see `mmstadapter.search.seals` for what is looked at
            when) or of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = self._open()
        refuse_outside(self.stamps)
        self.root = Path(manifest['root'])
        self.seconds: float = manifest['seconds']
        self.model: dict[str, Any] = manifest['model']
        self.bad: dict[str, str] = {k: v['reason'] for k, v in manifest['bad'].items()}
        self.offsets = [0, *accumulate(shard.rows for shard in self.shards)]

    def __len__(self) -> int:
        return sum(int(shard.alive.sum()) for shard in self.shards)

    @property
    def stamps(self) -> dict[str, VideoStamp]:
        """The indexed files as they were then, by path below the root."""
        return {stamp.path: stamp for shard in self.shards for _, stamp in shard.kept()}

    @property
    def videos(self) -> list[str]:
        """The indexed files, below the root, sorted."""
        return sorted(stamp.path for shard in self.shards for _, stamp in shard.kept())

    def search(
        self,
        text: Mapping[str, Tensor],
        topk: int = 10,
        exact: bool = False,
        candidates: int = 200,
    ) -> list[list[Hit]]:
        """The segments most like each caption, best first.

        Args:
            text: features of A captions, from ``encode_captions`` of the index's model.
            topk: segments a caption.
            exact: compare with every segment by the model's own similarity. Else the segments
                whose pooled vectors are nearest (found approximately where the index has that
                stage) are re-ranked by it.
            candidates: how many are re-ranked, at least ``topk``.

        Raises:
            ValueError: features of another kind or width than the index's, or not finite.
        """
        if topk < 1 or candidates < 1:
            raise ValueError(
                f'VideoIndex: topk and candidates must be at least 1, got {topk}, {candidates}.'
            )
        text = {name: tensor.detach().cpu() for name, tensor in text.items()}
        topk, candidates = (min(n, self.offsets[-1]) for n in (topk, max(topk, candidates)))
        self._check(text)
        if not self.shards:
            return [[] for _ in range(_length(text))]
        one_vector = 'vector' in text and self.approximate is None
        if exact or one_vector:
            scores, rows = self._among_all(text, topk)
        else:
            scores, rows = self._among(text, self._shortlist(pooled(text), candidates))
        return [
            [self.hit(int(r), float(s)) for s, r in zip(*pair, strict=True) if s > -torch.inf]
            for pair in zip(scores[:, :topk], rows[:, :topk], strict=True)
        ]

    def hit(self, row: int, similarity: float) -> Hit:
        """The segment of a row."""
        number = bisect_right(self.offsets, row) - 1
        shard, local = self.shards[number], row - self.offsets[number]
        start, end = (round(float(shard.tensors[side][local]), 3) for side in ('start', 'end'))
        video = shard.videos[int(shard.tensors['video'][local])].path
        return Hit(video, start, end, round(similarity, 6))

    def _open(self) -> dict[str, Any]:
        """Open what the manifest lists; from the start if a writer has replaced it meanwhile."""
        for attempt in range(ATTEMPTS):
            manifest = read_manifest(self.folder)
            try:
                shards = manifest['shards']
                always = small(self.folder, [*shards, *filter(None, [manifest['approximate']])])
                self.shards = [open_shard(self.folder, entry, always) for entry in shards]
                self.always = always
                self.approximate, self.covered = self._first_stage(manifest['approximate'])
                break
            except VideoIndexError:
                if attempt == ATTEMPTS - 1 or read_manifest(self.folder) == manifest:
                    raise
        return manifest

    def _first_stage(self, entry: dict | None) -> tuple[Approximate | None, int]:
        """The approximate stage, and how many shards it covers: the first ones."""
        names = [shard.path.name for shard in self.shards]
        if not entry or names[: len(entry['shards'])] != entry['shards']:
            return None, 0
        if load_faiss() is None:
            print_log(f'VideoIndex: {ABSENT}', 'current')
            return None, 0
        try:
            path = self.folder / entry['file']
            check_seal(path, entry, self.always)
            return Approximate(path, entry['rows']), len(entry['shards'])
        except VideoIndexError as error:
            if read_manifest(self.folder)['approximate'] != entry:
                raise  # replaced meanwhile
            print_log(
                f'VideoIndex: {error}. Comparing with every segment; `mmstadapter index` builds '
                'it again.',
                'current',
                level=30,
            )
            return None, 0

    def _check(self, text: Mapping[str, Tensor]) -> None:
        if not all(tensor.isfinite().all() for tensor in text.values()):
            raise ValueError(
                "VideoIndex: the caption's features are not finite (NaN or infinite), so nothing "
                "can be found by them. Check the model's weights; try it in float32."
            )
        if self.shards:
            score(_rows(text, slice(0, 1)), _rows(self.shards[0].features, slice(0, 1)))

    def _blocks(
        self, text: Mapping[str, Tensor]
    ) -> Iterator[tuple[int, dict[str, Tensor], Tensor]]:
        """First row, features and ``alive`` of blocks that fit beside these captions' cosines."""
        words = text['tokens'].shape[1] if 'tokens' in text else 1
        for offset, shard in zip(self.offsets[:-1], self.shards, strict=True):
            features = shard.features
            frames = features['tokens'].shape[1] if 'tokens' in features else 1
            size = max(1, PAIR_FLOATS // (_length(text) * words * frames * 2))
            size = min(size, max(1, PAIR_FLOATS // (frames * shard.vectors.shape[1])))
            for start in range(0, shard.rows, size):
                part = slice(start, start + size)
                yield offset + start, _rows(features, part), shard.alive[part]

    def _among_all(self, text: Mapping[str, Tensor], count: int) -> tuple[Tensor, Tensor]:
        """The best rows of all by the model's similarity: scores and rows, (A, count)."""
        best = _Best(_length(text), count)
        for start, features, alive in self._blocks(text):
            scores = score(text, features).masked_fill(~alive, -torch.inf)
            best.add(scores, torch.arange(start, start + scores.shape[1]))
        return best.scores, best.rows

    def _shortlist(self, vectors: Tensor, count: int) -> Tensor:
        """Rows (A, up to count) with the nearest pooled vectors, -1 where there are no more."""
        best = _Best(len(vectors), count)
        if self.approximate is not None:
            alive = torch.cat([shard.alive for shard in self.shards[: self.covered]])
            cosines, rows = self.approximate.search(vectors, count, None if alive.all() else alive)
            best.add(cosines.masked_fill(rows < 0, -torch.inf), rows)
        rest = zip(self.offsets[:-1], self.shards, strict=True)
        for offset, shard in islice(rest, self.covered, None):
            size = max(1, PAIR_FLOATS // (len(vectors) + vectors.shape[1]))
            for start in range(0, shard.rows, size):
                part = slice(start, start + size)
                cosines = vectors @ shard.vectors[part].float().T
                cosines = cosines.masked_fill(~shard.alive[part], -torch.inf)
                first = offset + start
                best.add(cosines, torch.arange(first, first + cosines.shape[1]))
        return best.rows.masked_fill(best.scores == -torch.inf, -1)

    def _among(self, text: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Re-rank each caption's rows by the model's similarity."""
        scores = torch.full(rows.shape, -torch.inf)
        for number, wanted in enumerate(rows):
            there = wanted >= 0
            if there.any():
                found = score(_rows(text, slice(number, number + 1)), self.features(wanted[there]))
                scores[number, there] = found[0]
        order = scores.argsort(dim=1, descending=True, stable=True)
        return scores.gather(1, order), rows.gather(1, order)

    def features(self, rows: Tensor) -> dict[str, Tensor]:
        """Feature dict of some rows, in their order."""
        shard_of = torch.bucketize(rows, torch.tensor(self.offsets[1:]), right=True)
        parts, places = [], []
        for number in shard_of.unique().tolist():
            at = (shard_of == number).nonzero()[:, 0]
            parts.append(_rows(self.shards[number].features, rows[at] - self.offsets[number]))
            places.append(at)
        order = torch.cat(places).argsort()
        return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}


class _Best:
    """The best scores seen so far, and their rows."""

    def __init__(self, queries: int, count: int) -> None:
        self.count = count
        self.scores = torch.empty(queries, 0)
        self.rows = torch.empty(queries, 0, dtype=torch.long)

    def add(self, scores: Tensor, rows: Tensor) -> None:
        """(A, n) scores of n rows, which are (n,) or (A, n)."""
        count = min(self.count, scores.shape[1])
        found, at = scores.topk(count, dim=1)
        rows = rows.expand_as(scores).gather(1, at)
        scores, rows = torch.cat([self.scores, found], 1), torch.cat([self.rows, rows], 1)
        self.scores, order = scores.topk(min(self.count, scores.shape[1]), dim=1)
        self.rows = rows.gather(1, order)


def open_shard(folder: Path, entry: Mapping[str, Any], always: bool = False) -> Shard:
    """The shard of an entry of the manifest, compared with its checksum, see `check_seal`."""
    check_seal(folder / entry['file'], entry, always)
    return Shard(folder / entry['file'], entry['rows'], entry['dropped'])


def _rows(features: Mapping[str, Tensor], rows: slice | Tensor) -> dict[str, Tensor]:
    return {name: tensor[rows] for name, tensor in features.items()}


def _length(features: Mapping[str, Tensor]) -> int:
    return len(next(iter(features.values())))
