"""The similarity of every caption with every video, in blocks within a bound on memory."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.retrieval.scoring import score
from .packing import Packed, Tile, pack

FLOAT = 4  # bytes
# Tokens (captions' x videos') of one product. On a CPU its cosines, 3 MB, stay in the cache
# until their maxima are taken; a GPU wants large products.
CPU_TILE, GPU_TILE = (512, 1536), (8192, 8192)


@torch.no_grad()
def similarity_matrix(
    text: Mapping[str, Tensor],
    video: Mapping[str, Tensor],
    memory: int = 256 * 2**20,
    device: str | torch.device | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """What `mmstadapter.score` gives, for sets of any size and without gradients.

    Tokens of zeros (padding) and masked tokens are left out of the products, and captions are
    taken in the order of their length, so padding costs nothing. All in float32.

    Args:
        text: features of A captions, ``vector`` (A, E) or ``tokens`` (A, L, E) and ``weights``
            (A, L), perhaps ``mask`` (A, L). Any float type.
        video: features of B videos, of the same kind.
        memory: bound in bytes on what is allocated beside features and result, on the CPU or
            the device. On top come 20 bytes a token for the order they are taken in, at most,
            and a BLAS library's own work space.
        device: where to compute, the features' own by default. Features may be elsewhere: they
            are moved block by block.
        out: (A, B) float32 tensor to write into, for example one from ``torch.from_file`` when
            the result does not fit in memory.

    Returns:
        (A, B) float32, on the CPU unless `out` is elsewhere.

    Raises:
        ValueError: if the features do not fit together, `out` has another shape or type,
            `memory` is too small for one caption and one video, or all tokens of an item are
            masked.
    """
    score({k: v[:0] for k, v in text.items()}, {k: v[:0] for k, v in video.items()})  # they fit
    words, frames = pack(text, 'caption'), pack(video, 'video')
    shape = (len(words.tokens), len(frames.tokens))
    out = torch.empty(shape, dtype=torch.float32) if out is None else out
    if out.shape != shape or out.dtype != torch.float32:
        raise ValueError(
            f'similarity_matrix: out must be {shape} float32, got {tuple(out.shape)} {out.dtype}.'
        )
    device = torch.device(device or words.tokens.device)
    plan = _plan(words, frames, memory, device)
    captions = list(words.parts(plan.captions))
    _fill(out, torch.arange(len(out)), (words, captions), frames, plan, device)
    return out


@torch.no_grad()
def similarity_rows(
    text: Mapping[str, Tensor],
    video: Mapping[str, Tensor],
    memory: int = 256 * 2**20,
    device: str | torch.device | None = None,
    share: tuple[int, int] = (0, 1),
) -> tuple[Tensor, Tensor]:
    """The rows of `similarity_matrix` that are one process's of several, with the same bits.

    Captions are dealt in the parts that one process takes them in: products of other shapes may
    round otherwise.

    Args:
        text, video, memory, device: see `similarity_matrix`.
        share: which process of how many.

    Returns:
        Numbers of a captions (a,), and their similarities (a, B) float32, on the CPU.
    """
    words, frames = pack(text, 'caption'), pack(video, 'video')
    device = torch.device(device or words.tokens.device)
    plan = _plan(words, frames, memory, device)
    captions = list(words.parts(plan.captions))[share[0] :: share[1]]
    chosen = [items.cpu() for items, *_ in captions]
    mine = torch.cat(chosen).unique() if chosen else torch.empty(0, dtype=torch.long)
    out = torch.empty(len(mine), len(frames.tokens))
    places = torch.zeros(len(words.tokens), dtype=torch.long)
    places[mine] = torch.arange(len(mine))
    _fill(out, places, (words, captions), frames, plan, device)
    return mine, out


def _fill(
    out: Tensor,
    places: Tensor,
    captions: tuple[Packed, list[tuple[Tensor, int, bool]]],
    frames: Packed,
    plan: 'Plan',
    device: torch.device,
) -> None:
    """Compute the rows of some parts of the captions; caption i is row ``places[i]``."""
    words, parts = captions
    places = places.to(out.device)
    with torch.autocast(device.type, enabled=False):
        for chunk in frames.chunks(plan.videos, plan.videos_kept):
            tiles = [frames.tile(part, device, items_last=True) for part in chunk]
            for part in parts:
                tile = words.tile(part, device)
                rows = places[tile.items.to(out.device)]
                for other in tiles:
                    block = _interact(tile, other).to(out.device)
                    out[rows[:, None], other.items.to(out.device)] = block


def _interact(text: Tile, video: Tile) -> Tensor:
    """Token-wise interaction (a, b), `mmstadapter.score`, of one tile with another.

    The cosines lie as (a, Lt, Lv, b): both maxima then run over long contiguous rows.
    """
    (a, words, dims), (frames, b, _) = text.tokens.shape, video.tokens.shape
    cosines = text.tokens.view(-1, dims) @ video.tokens.view(-1, dims).T
    if words == frames == 1 and not (text.floored or video.floored):
        weight = text.weights + video.weights  # (a, 1) + (1, b)
        return cosines.view(a, b).mul_(weight).div_(2)
    cosines = cosines.view(a, words, frames, b)
    best_frame = cosines.amax(dim=2)
    best_word = cosines.amax(dim=1)
    if video.floored:
        best_frame.clamp_(min=0)
    if text.floored:
        best_word.clamp_(min=0)
    text_to_video = torch.bmm(text.weights[:, None], best_frame)[:, 0]
    return text_to_video.add_(best_word.mul_(video.weights).sum(dim=1)).div_(2)


class Plan(NamedTuple):
    """Tokens of captions and of videos in one product, and of videos held on the device."""

    captions: int
    videos: int
    videos_kept: int


def _plan(words: Packed, frames: Packed, memory: int, device: torch.device) -> Plan:
    """The largest blocks that stay within `memory`.

    Raises:
        ValueError: if not even one caption with one video does.
    """
    dims = words.tokens.shape[-1]
    held_bytes = FLOAT * (dims + 3)  # of a video's token: itself, its weight, an index
    (fewest_words, most_words), (fewest_frames, most_frames) = words.lengths, frames.lengths
    rows, columns = CPU_TILE if device.type == 'cpu' else GPU_TILE
    while True:
        rows, columns = max(rows, most_words), max(columns, most_frames)
        work = _work_bytes(rows, columns, fewest_words, fewest_frames, dims)
        held = (memory - work) // held_bytes
        if held >= columns:
            return Plan(rows, columns, held)
        if (rows, columns) == (most_words, most_frames):
            raise ValueError(
                f'similarity_matrix: memory must be at least {work + columns * held_bytes} bytes '
                f'for one caption of {rows} tokens with one video of {columns}, got {memory}.'
            )
        rows, columns = rows // 2, columns // 2


def _work_bytes(rows: int, columns: int, words: int, frames: int, dims: int) -> int:
    """What one product needs at most beside the videos that are held.

    The cosines, both maxima, three blocks of similarities (items of few tokens make them large),
    tokens of either side with a copy as given, and their indices.
    """
    cosines = rows * columns
    maxima = cosines // words + cosines // frames
    blocks = 3 * cosines // (words * frames)
    tokens = 2 * (rows + columns) * (dims + 8)
    return FLOAT * (cosines + maxima + blocks + tokens)
