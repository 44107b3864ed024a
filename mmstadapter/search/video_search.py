"""A caption in, segments of videos out: an index together with the model that made it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .model import SearchModel
from .video_index import Hit, VideoIndex


class VideoSearch:
    """Search the videos of an index by what happens in them.

        search = mmstadapter.VideoSearch('work_dirs/index')
        for hit in search('a dog jumps into water', topk=5):
            print(hit.score, search.path(hit), hit.start, hit.end)

    The part of the model that reads captions is built from what the index says, and refused if
    its weights are not those of the model that made the index. The video side is not needed.

    Args:
        index: folder that ``mmstadapter index`` or :func:`index_videos` wrote.
        checkpoint: where the model's weights lie now, if they were moved.
        device: ``'cpu'``, ``'cuda:1'`` ...; the first GPU, else the CPU, if None.
        options: changes to the stored config, such as where pretrained files lie now.

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
    ) -> None:
        self.index = VideoIndex(index)
        self.model = SearchModel.of_index(
            self.index.model, checkpoint, device, options, captions_only=True
        )

    def __call__(
        self, caption: str, topk: int = 10, exact: bool = False, candidates: int = 200
    ) -> list[Hit]:
        """The segments most like a caption, best first; see :meth:`VideoIndex.search`."""
        return self.many([caption], topk, exact, candidates)[0]

    def many(
        self, captions: list[str], topk: int = 10, exact: bool = False, candidates: int = 200
    ) -> list[list[Hit]]:
        """The same for several captions at once."""
        features = self.model.encode_captions(captions)
        return self.index.search(features, topk, exact, candidates)

    def path(self, hit: Hit) -> Path:
        """The file of a hit."""
        return self.index.root / hit.video
