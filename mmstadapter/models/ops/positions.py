"""Tables of time positions, for clips of any length."""

from functools import partial

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .clips import images_of


def time_positions(table: Tensor, num_frames: int) -> Tensor:
    """Rows of a position table for a clip of any length: the nearest row of each frame.

    Args:
        table: (T0, D), one row a frame of the clips it was made for.
        num_frames: T.

    Returns:
        (T, D); the table itself if T = T0.
    """
    if num_frames == len(table):
        return table
    rows = rearrange(table, 't d -> 1 d t')
    return rearrange(F.interpolate(rows, size=num_frames, mode='nearest'), '1 d t -> t d')


def add_time(x: Tensor, table: Tensor, num_frames: int) -> Tensor:
    """Add a frame's time position to all its tokens. (B·T, L, D) -> same, clip-major."""
    time = time_positions(table, num_frames).to(x.dtype)
    return x + time.repeat(x.shape[0] // num_frames, 1)[:, None]


def embed_in_time(trunk: nn.Module, video: Tensor, table: Tensor) -> Tensor:
    """Tokens with positions in space and time, before the trunk's first norm.

    Args:
        trunk: whose `embed` is used.
        video: (B, 3, T, H, W).
        table: see `time_positions`.

    Returns:
        (B·T, L, D).
    """
    time = partial(add_time, table=table, num_frames=video.shape[2])
    return trunk.embed(images_of(video), pre=time)
