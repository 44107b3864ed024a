"""Backbones whose trunk looks at every frame by itself: once, however many clips it is in."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ..trunks.base import Trunk

Looked = tuple[Tensor, ...]  # what is kept of M frames, each tensor (M, ...)
Noted = list[tuple[Tensor, Tensor]]


class ByFrame:
    """A backbone in two parts: what concerns a frame alone, and what joins the frames of a clip.

        forward(video) == finish(video, [look(images_of(looked_at(video)))])

    `look` may take the frames one by one, and its results may serve several clips: so long
    videos and streams send each frame through the trunk once.
    """

    trunk: Trunk

    @property
    def by_frame(self) -> bool:
        """Whether that holds: not with a video encoder, which mixes frames itself."""
        return not self.trunk.takes_clips

    @property
    def shared_blocks(self) -> int:
        """How many of the trunk's blocks `look` runs; the rest see whole clips."""
        return len(self.trunk.blocks)

    def looked_at(self, video: Tensor) -> Tensor:
        """The frames of clips that `look` is given. (B, 3, T, H, W) -> (B, 3, S, H, W)."""
        return video

    def look(self, images: Tensor) -> Looked:
        """What is kept of frames (M, 3, H, W): tensors (M, ...)."""
        raise TypeError(f'{type(self).__name__} must provide `look`.')

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """The rest of the model: what `forward` gives.

        Args:
            video: (B, 3, T, H, W).
            looked: of `look`, in as many pieces as one likes, together the B·S frames of
                `looked_at(video)` in order.
        """
        raise TypeError(f'{type(self).__name__} must provide `finish`.')


def joined(looked: Sequence[Looked]) -> Tensor:
    """What is kept of all frames, where that is one tensor. -> (B·S, ...)."""
    parts = [x for (x,) in looked]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def keep_layers(
    layers: Iterable[list[Tensor]], wanted: Collection[int], noted: Noted | None = None, first=0
) -> Looked:
    """Of a trunk's layers those that are wanted, with their queries and keys if these are noted.

    Args:
        layers: of `trunk_layers`.
        wanted: their numbers.
        noted: the list that `trunk_layers` fills with queries and keys.
        first: number of the first of ``layers``.
    """
    kept: list[Tensor] = []
    for i, tokens in enumerate(layers, start=first):
        if i in wanted:
            kept.append(torch.cat(tokens))
            kept += [torch.cat(part) for part in zip(*noted or (), strict=True)]
    return tuple(kept)


def kept_layers(
    looked: Sequence[Looked], wanted: Sequence[int], last: int, noted: Noted | None = None, first=0
) -> Iterator[list[Tensor]]:
    """The layers as `trunk_layers` yields them, of what `keep_layers` has kept; others empty."""
    width = 1 if noted is None else 3
    for i in range(first, last + 1):
        at = width * wanted.index(i) if i in wanted else None
        if noted is not None:
            noted[:] = [] if at is None else [(x[at + 1], x[at + 2]) for x in looked]
        yield [] if at is None else [x[at] for x in looked]
