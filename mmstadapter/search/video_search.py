"""A query in, segments of videos out: an index together with the model that made it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .asking import Query, asked, several
from .choosing import Hit
from .model import SearchModel
from .video_index import VideoIndex


class VideoSearch:
    """Search the videos of an index by what happens in them.

        search = mmstadapter.VideoSearch('work_dirs/index')
        for hit in search('a dog jumps into water', topk=5):
            print(hit.score, search.path(hit), hit.start, hit.end)
        search(like='holidays.mp4@12.5-15')

    The part of the model that reads captions is built from what the index says, and refused if
    its weights are not those of the model that made the index. The video side is built when the
    first example is looked for.

    Args:
        index: folder that ``mmstadapter index`` or :func:`index_videos` wrote.
        checkpoint: where the model's weights lie now, if they were moved.
        device: ``'cpu'``, ``'cuda:1'`` ...; the first GPU, else the CPU, if None.
        options: changes to the stored config, such as where pretrained files lie now.
        examples: build the video side at once.

    Raises:
        FileNotFoundError: no index there, or weights that are not where they were.
        ValueError: a damaged index, or weights of another model.
    """

    def __init__(
        self,
        index: str | Path,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
        examples: bool = False,
    ) -> None:
        self.index = VideoIndex(index)
        self.where = (self.index.model, checkpoint, device, options)
        self.model = SearchModel.of_index(*self.where, captions_only=not examples)

    def warm(self) -> 'VideoSearch':
        """Answer one sentence in vain, so that the first that is asked waits no longer than others.

        For a process that stays, such as ``mmstadapter serve``: threads, buffers and the pages of
        files are got ready when they are first used.
        """
        self('a video')
        return self

    def __call__(
        self,
        caption: str | Query = '',
        topk: int = 10,
        exact: bool = False,
        candidates: int = 200,
        *,
        like: str | Path | Sequence[str | Path] | None = None,
        minus: str | Sequence[str] | None = None,
        by_video: bool = False,
        min_score: float | None = None,
        dedupe: bool = False,
    ) -> list[Hit]:
        """The segments most like a caption and examples, best first.

        Args:
            caption: a sentence, or a whole :class:`Query`.
            topk, exact, candidates: see :meth:`VideoIndex.search`.
            like, minus: see :class:`Query`; one or several.
            by_video, min_score, dedupe: see :class:`Wanted`.
        """
        given = caption if isinstance(caption, Query) else None
        query = Query(
            given.words if given else str(caption),
            (given.like if given else ()) + several(like),
            (given.minus if given else ()) + several(minus),
        )
        return self.many([query], topk, exact, candidates, by_video, min_score, dedupe)[0]

    def many(
        self,
        captions: Sequence[str | Query | Mapping[str, Any]],
        topk: int = 10,
        exact: bool = False,
        candidates: int = 200,
        by_video: bool = False,
        min_score: float | None = None,
        dedupe: bool = False,
    ) -> list[list[Hit]]:
        """The same for several queries at once."""
        if isinstance(captions, str) or not captions:
            raise ValueError(
                f'VideoSearch: needs a list of captions with words in them, got {captions!r}.'
            )
        queries = [Query.of(caption) for caption in captions]
        if self.model.captions_only and any(query.like for query in queries):
            self.model = SearchModel.of_index(*self.where)
        features = asked(queries, self.model)
        return self.index.search(features, topk, exact, candidates, by_video, min_score, dedupe)

    def path(self, hit: Hit) -> Path:
        """The file of a hit."""
        return self.index.root / hit.video
