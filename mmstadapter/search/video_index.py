"""Search in a video index: which segments are most like a caption."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from .asking import Asked
from .choosing import Hit, Wanted
from .columns import FEATURES, damaged, note, open_columns
from .first_stage import ABSENT, Approximate, load_faiss, open_stage
from .manifest import Manifest
from .storage import MANIFEST, VideoIndexError, refuse_outside

PAIR_FLOATS = 1 << 22  # values held at a time: 16 MiB, which the memory allocator keeps
MORE = 4  # times as many segments are ranked where the first were too few
ATTEMPTS = 5  # to open an index that is being written meanwhile


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
        stamps: the indexed files as they were then, by path below the root.
        bad: why files below the root could not be decoded, by path.

    Raises:
        FileNotFoundError: no index there.
        VideoIndexError: one that is damaged (see `mmstadapter.search.columns` for what is looked
            at when) or of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = self._open()
        self.stamps = manifest.stamps()
        refuse_outside(self.stamps)
        self.root, self.seconds, self.model = Path(manifest.root), manifest.seconds, manifest.model
        self.bad = {path: bad.reason for path, bad in manifest.bad.items()}
        self.rows = manifest.rows
        self.rows_of = sorted((v.start, v.stop, path) for path, v in manifest.videos.items())
        alive = np.zeros(self.rows, bool)
        for start, stop, _ in self.rows_of:
            alive[start:stop] = True
        self.alive = torch.from_numpy(alive)

    def __len__(self) -> int:
        return int(self.alive.sum())

    @property
    def videos(self) -> list[str]:
        """The indexed files, below the root, sorted."""
        return sorted(self.stamps)

    def search(
        self,
        text: Mapping[str, Tensor] | Asked,
        topk: int = 10,
        exact: bool = False,
        candidates: int = 200,
        by_video: bool = False,
        min_score: float | None = None,
        dedupe: bool = False,
    ) -> list[list[Hit]]:
        """The segments most like each query, best first.

        Args:
            text: features of A captions, from ``encode_captions`` of the index's model; or
                :class:`Asked`, such as ``Asked.like(model.encode_clips(clips))``.
            topk: hits a query.
            exact: compare with every segment by the model's own similarity. Else the segments
                whose pooled vectors are nearest (found approximately where the index has that
                stage) are re-ranked by it.
            candidates: how many are re-ranked, at least ``topk``.
            by_video, min_score, dedupe: see :class:`Wanted`.

        Raises:
            ValueError: features of another kind or width than the index's, or not finite.
        """
        if topk < 1 or candidates < 1:
            raise ValueError(
                f'VideoIndex: topk and candidates must be at least 1, got {topk}, {candidates}.'
            )
        asked = text if isinstance(text, Asked) else Asked(
            {name: tensor.detach().cpu() for name, tensor in text.items()})  # fmt: skip
        self._check(asked)
        if not self.rows:
            return [[] for _ in range(len(asked))]
        most = min(topk, len(self.stamps) if by_video else self.rows)
        wanted = Wanted(most, min_score, by_video, dedupe)
        count = most if wanted.is_plain else MORE * most
        while True:
            count, shortlist = (min(n, self.rows) for n in (count, max(count, candidates)))
            ranked = self._ranked(asked, count, exact, shortlist)
            found = [wanted.choose(hits) for hits in ranked]
            if wanted.is_plain or count == self.rows or not any(more for _, more in found):
                return [hits for hits, _ in found]
            count *= MORE

    def _ranked(
        self, asked: Asked, count: int, exact: bool, shortlist: int
    ) -> Iterator[Iterator[Hit]]:
        """The best segments of each query, at least so many if there are."""
        one_vector = 'vector' in self.columns and self.approximate is None
        if exact or one_vector:
            scores, rows = self._among_all(asked, count)
        else:
            scores, rows = self._among(asked, self._shortlist(asked.vectors(), shortlist))
        for pair in zip(scores.tolist(), rows.tolist(), strict=True):
            yield (self.hit(r, s) for s, r in zip(*pair, strict=True) if s > -torch.inf)

    def hit(self, row: int, similarity: float) -> Hit:
        """The segment of a row."""
        start, end = (round(side, 3) for side in self.columns['times'][row].tolist())
        number = bisect_right(self.rows_of, row, key=itemgetter(0)) - 1
        return Hit(self.rows_of[number][2], start, end, round(similarity, 6))

    def _open(self) -> Manifest:
        """Open what the manifest lists; from the start if a writer has replaced it meanwhile."""
        for attempt in range(ATTEMPTS):
            self.written = note(self.folder / MANIFEST)
            try:
                manifest = Manifest.read(self.folder)
                self.columns = self._open_columns(manifest)
                self.approximate = self._first_stage(manifest)
                break
            except VideoIndexError:
                if attempt == ATTEMPTS - 1 or not self._is_replaced():
                    raise
        return manifest

    def _is_replaced(self) -> bool:
        return note(self.folder / MANIFEST) != self.written

    def _open_columns(self, manifest: Manifest) -> dict[str, Tensor]:
        columns = open_columns(self.folder, manifest, manifest.rows)
        for _, path in damaged(self.folder, manifest, columns):
            raise VideoIndexError(
                f'{path}: this part of the index is not the one that was written: its checksum is '
                'another. Call `mmstadapter index` with the folder of the videos; it makes it anew'
            )
        return columns

    def _first_stage(self, manifest: Manifest) -> Approximate | None:
        """The approximate stage, if there is one that can be used."""
        if manifest.approximate and load_faiss() is None:
            print_log(f'VideoIndex: {ABSENT}', 'current')
            return None
        try:
            return open_stage(self.folder, manifest)
        except VideoIndexError as error:
            if self._is_replaced():
                raise
            print_log(
                f'VideoIndex: {error}. Comparing with every segment; `mmstadapter index` builds '
                'it again.',
                'current',
                level=30,
            )
            return None

    def _check(self, asked: Asked) -> None:
        if not all(tensor.isfinite().all() for tensor in asked.tensors):
            raise ValueError(
                "VideoIndex: the query's features are not finite (NaN or infinite), so nothing "
                "can be found by them. Check the model's weights; try it in float32."
            )
        if self.rows and asked.examples is not None:
            width, own = asked.examples.shape[-1], self.vectors.shape[1]
            if width != own:
                raise ValueError(
                    f'VideoIndex: examples have {width} numbers, the segments {own}. Encode both '
                    'by the same model.'
                )
        if self.rows and len(asked):
            asked.one(0).score(self.features(slice(0, 1)), self.vectors[:1])

    @property
    def vectors(self) -> Tensor:
        """(rows, E), one unit vector a segment, for the first stage."""
        return self.columns['pooled' if 'pooled' in self.columns else 'vector']

    def features(self, rows: slice | Tensor) -> dict[str, Tensor]:
        """Feature dict of some rows, in their order, 16 bit where stored so."""
        return {n: column[rows] for n, column in self.columns.items() if n in FEATURES}

    def _blocks(self, size: int, start: int = 0) -> Iterator[slice]:
        """The rows from ``start`` on, so many at a time."""
        for first in range(start, self.rows, max(1, size)):
            yield slice(first, min(first + max(1, size), self.rows))

    def _among_all(self, asked: Asked, count: int) -> tuple[Tensor, Tensor]:
        """The best rows of all by the model's similarity: scores and rows, (A, count)."""
        best, text = _Best(len(asked), count), asked.text or {}
        words, frames = (
            features['tokens'].shape[1] if 'tokens' in features else 1
            for features in (text, self.columns)
        )
        pairs = max(len(asked), *map(len, asked.tensors)) * words * frames * 2
        for part in self._blocks(PAIR_FLOATS // max(pairs, frames * self.vectors.shape[1])):
            scores = asked.score(self.features(part), self.vectors[part])
            scores = scores.masked_fill(~self.alive[part], -torch.inf)
            best.add(scores, torch.arange(part.start, part.stop))
        return best.scores, best.rows

    def _shortlist(self, vectors: Tensor, count: int) -> Tensor:
        """Rows (A, up to count) with the nearest pooled vectors, -1 where there are no more."""
        best, covered = _Best(len(vectors), count), 0
        if self.approximate is not None:
            covered = self.approximate.rows
            alive = self.alive[:covered]
            cosines, rows = self.approximate.search(vectors, count, None if alive.all() else alive)
            best.add(cosines.masked_fill(rows < 0, -torch.inf), rows)
        for part in self._blocks(PAIR_FLOATS // (len(vectors) + vectors.shape[1]), covered):
            cosines = vectors @ self.vectors[part].float().T
            cosines = cosines.masked_fill(~self.alive[part], -torch.inf)
            best.add(cosines, torch.arange(part.start, part.stop))
        return best.rows.masked_fill(best.scores == -torch.inf, -1)

    def _among(self, asked: Asked, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Re-rank each caption's rows by the model's similarity."""
        scores = torch.full(rows.shape, -torch.inf)
        for number, wanted in enumerate(rows):
            there = wanted >= 0
            if there.any():
                near = wanted[there]
                found = asked.one(number).score(self.features(near), self.vectors[near])
                scores[number, there] = found[0]
        order = scores.argsort(dim=1, descending=True, stable=True)
        return scores.gather(1, order), rows.gather(1, order)


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
