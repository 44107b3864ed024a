"""Tables of time positions, for clips of any length."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


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
