"""Clips in the middle of equal parts of a video, as MMAction2 took them before version 1."""

import numpy as np
from mmaction.datasets.transforms import SampleFrames
from mmaction.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SampleMiddles(SampleFrames):
    """MMAction2's ``SampleFrames``, whose test clips stand in the middle of equal parts.

    With L frames and clips that span n = clip_len · frame_interval, clip v of V starts at
    trunc((v + 1/2) · (L - n + 1) / V); in a video of fewer than n frames at 0, and it starts
    again where the video ends. So AIM's released models are tested. Since version 1 MMAction2
    spreads clips from the first to the last start.

    Args:
        clip_len, frame_interval, num_clips, test_mode, ...: see MMAction2's ``SampleFrames``.
    """

    def _get_test_clips(self, num_frames: int, ori_clip_len: float) -> np.ndarray:
        """First frames of the clips, (V,)."""
        starts = num_frames - self.clip_len * self.frame_interval + 1
        if starts <= 0:
            return np.zeros(self.num_clips, dtype=int)
        return ((np.arange(self.num_clips) + 0.5) * starts / self.num_clips).astype(int)
