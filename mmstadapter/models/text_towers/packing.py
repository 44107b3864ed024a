"""Rows of token ids, and which of their places hold a caption."""

from collections.abc import Sequence

import torch
from torch import Tensor


def text_mask(ids: Tensor) -> Tensor:
    """Which places of each row hold its caption, start and end included.

    Args:
        ids: (B, L) token ids; the end has the largest id of its row, zeros follow.

    Returns:
        (B, L) bool, true up to and including the end. Of several ends the last counts,
        as in the masks of the released loaders.
    """
    places = torch.arange(ids.shape[-1], device=ids.device)
    is_end = ids == ids.amax(dim=-1, keepdim=True)
    return places <= (is_end * places).amax(dim=-1, keepdim=True)


def pack(rows: list[list[int]], length: int) -> Tensor:
    """Rows of at most ``length`` ids -> (B, length) int64, padded with zeros."""
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = torch.tensor(row)
    return ids


def check_length(who: str, context_length: int) -> int:
    """The context length, if a caption of one word fits into it.

    Raises:
        ValueError: if not.
    """
    if context_length < 3:
        raise ValueError(
            f'{who}: context_length must be at least 3 (start, a word, end), got {context_length}.'
        )
    return context_length


def check_captions(who: str, captions: Sequence[str]) -> None:
    """Raise TypeError unless these are several strings rather than one, or something else."""
    if isinstance(captions, str):
        raise TypeError(f'{who}: give a list of captions, not one string: [{captions!r}].')
    for i, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise TypeError(
                f'{who}: captions must be strings, got {caption!r} ({type(caption).__name__}) at '
                f'place {i}. Drop or correct that row of the annotations.'
            )
