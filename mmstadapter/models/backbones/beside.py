"""What methods beside a frozen trunk share: its layers one at a time, and nothing kept of them."""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..ops.clips import check_video, images_of
from ..trunks.base import Trunk
from ..trunks.block import Block


def trunk_layers(
    trunk: Trunk,
    video: Tensor,
    last: int,
    frames_per_pass: int | None = None,
    *,
    embedded: bool = False,
    looked: list[tuple[Tensor, Tensor]] | None = None,
    run: Callable[[Block, Tensor], Tensor] | None = None,
) -> Iterator[list[Tensor]]:
    """Run a trunk on a video's frames and yield each layer's tokens as soon as they exist.

    Gradients are recorded only where something up to the last layer is tuned.

    Args:
        trunk: the image encoder.
        video: (B, 3, T, H, W).
        last: index of the last layer wanted.
        frames_per_pass: frames taken through a layer at a time; None for all. A video
            encoder takes whole clips, at least one.
        embedded: whether the tokens before the first layer are yielded too, ahead of it.
        looked: is given the queries and keys of the layer, two of (M, L, D) a chunk, all heads
            side by side. None: nobody reads them.
        run: how a layer is run that is trained and not looked at, `Recomputing.trunk_block`.

    Yields:
        Per layer the chunks (M, prefix + N, D), together the B·T frames, or of a video encoder
        the B clips, in order; always the same list, so that a layer that nobody reads is gone
        when the next exists.
    """
    given, portion = rows_of(trunk, video, frames_per_pass)
    recording = torch.is_grad_enabled() and trunk.trains_layers
    with torch.set_grad_enabled(recording):
        chunks = [trunk.embed(part) for part in _parts(given, portion)]
    del given  # as large as the video
    if embedded:
        yield chunks
    for block in trunk.blocks[: last + 1]:
        if looked is not None:
            looked.clear()
        with torch.set_grad_enabled(recording):
            for i in range(len(chunks)):  # no name may hold on to the layer before
                if run is not None and recording and looked is None:
                    chunks[i] = run(block, chunks[i])
                else:
                    chunks[i] = _run(block, chunks[i], looked)
        yield chunks


def rows_of(
    trunk: Trunk, video: Tensor, frames_per_pass: int | None = None
) -> tuple[Tensor, int | None]:
    """What a trunk embeds, and how much of it at a time, None for all.

    (B, 3, T, H, W) -> images (B·T, 3, H, W) and frames; of a video encoder the same clips, and
    how many of them have so many frames.
    """
    if not trunk.takes_clips:
        return images_of(video), frames_per_pass
    check_video(video)
    return video, frames_per_pass and max(1, frames_per_pass // video.shape[2])


def _parts(rows: Tensor, portion: int | None) -> Sequence[Tensor]:
    """Rows in portions; all at once in an exported graph, which takes any number of them."""
    if portion is None or torch.compiler.is_exporting():
        return (rows,)
    return rows.split(portion)


def _run(block: Block, x: Tensor, looked: list[tuple[Tensor, Tensor]] | None) -> Tensor:
    """(M, L, D) -> (M, L, D), noting queries and keys where they are wanted."""
    if looked is None:
        return block(x)

    def note(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        looked.append((q, k))
        return q, k, v

    return block.feed_forward(block.attend(x, mix=note))


def class_and_patches(tokens: Sequence[Tensor], trunk: Trunk) -> Sequence[Tensor]:
    """Class token and patches of chunks (M, prefix + N, D); registers are not read.

    Where there is no class token another one stands in its place, for nobody to read.
    """
    prefix = trunk.num_prefix_tokens
    if prefix == 1:
        return tokens
    return [torch.cat([x[:, :1], x[:, prefix:]], dim=1) for x in tokens]


def idle_parameters(trunk: Trunk, last: int) -> list[nn.Parameter]:
    """Tuned parameters of the trunk that follow layer ``last`` and influence nothing."""
    idle = [p for block in trunk.blocks[last + 1 :] for p in block.parameters()]
    return [p for p in (*idle, *trunk.parameters_after_blocks()) if p.requires_grad]


def check_portion(frames_per_pass: int | None, who: str = 'Side4VideoViT') -> int | None:
    """Return a number of frames that a trunk may take at a time, or raise ValueError."""
    if frames_per_pass is not None and not (
        isinstance(frames_per_pass, int) and frames_per_pass > 0
    ):
        raise ValueError(
            f'{who}: frames_per_pass must be a positive whole number or None, got '
            f'{frames_per_pass}.'
        )
    return frames_per_pass


def check_words(what: str, words: Sequence[str], known: Collection[str]) -> Sequence[str]:
    """Return a choice of several words, none of them twice, or raise ValueError."""
    if isinstance(words, str) or not set(words) <= set(known) or len(set(words)) < len(words):
        raise ValueError(
            f'{what} must be a list of different words out of {", ".join(known)}, got {words!r}.'
        )
    return words
