"""Which frames of a video make a clip: the rule of the released DiST code."""

import random

import numpy as np
from mmaction.registry import TRANSFORMS

from .sampling import ClipSampler


@TRANSFORMS.register_module()
class SampleEvenly(ClipSampler):
    """One frame from each of T equal parts of the video, at any point in time, rounded.

    The parts are bounded by the T + 1 points of linspace(0, L). In training a uniform point of
    each part, in testing, for view v = 0..V-1, the point (v + 1) / V of the way through it (with
    one view the middle); rounded with halves to even, and at most L - 1. Random numbers come
    from Python's global generator, as in the released code.

    Args:
        clip_len: frames T of a clip; in DiST those of its temporal network.
        num_views: clips V of a video in testing.
        test_mode: fixed clips instead of a random one.

    Raises:
        ValueError: if there is no view, or more than one in training.
    """

    def __init__(self, clip_len: int, num_views: int = 1, test_mode: bool = False) -> None:
        super().__init__(clip_len, test_mode)
        if num_views < 1 or (num_views > 1 and not test_mode):
            raise ValueError(
                f'SampleEvenly: num_views must be 1, and in testing at least 1, got {num_views}.'
            )
        self.num_clips = num_views

    def train_clips(self, total: int) -> list[list[int]]:
        """A random point of each part."""
        ends = np.linspace(0, total, self.clip_len + 1).tolist()
        points = (random.uniform(*part) for part in zip(ends[:-1], ends[1:], strict=True))
        return [[_frame(point, total) for point in points]]

    def test_clips(self, total: int) -> list[list[int]]:
        """The same point of each part, another in each view."""
        ends = np.linspace(0, total, self.clip_len + 1)
        width, views = ends[1] - ends[0], self.num_clips
        shares = [(v + 1) / views for v in range(views)] if views > 1 else [0.5]
        return [[_frame(start + width * share, total) for start in ends[:-1]] for share in shares]


def _frame(point: float, total: int) -> int:
    return min(round(point), total - 1)
