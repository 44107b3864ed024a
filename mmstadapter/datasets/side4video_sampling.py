"""Which frames of a video make a clip: the rules of the released Side4Video recognition code."""

import math
import random

import numpy as np
from mmaction.registry import TRANSFORMS

from .sampling import ClipSampler, equal_segments

RULES = ('kinetics', 'something', 'dense')
WINDOW = 128  # frames that a dense clip reaches over


@TRANSFORMS.register_module()
class SampleSide4Video(ClipSampler):
    """T frames spread over the whole video, or over a window of 128 frames, by three rules.

    In training, one random clip. In testing V clips, for view v = 0..V-1 of a video of L frames:

    * ``'kinetics'``: one random frame of each of T segments [round(s·i), round(s·(i+1))], both
      ends included, s = (L-1)/T, rounding halves to even. In testing frames
      trunc(o + i·L/T) mod L, the V offsets o being whole numbers spread over 0..L/T-1 (-1 for
      a video of fewer than T frames).
    * ``'something'``: one random frame of each of T runs that start at floor(i·L/T); a video of
      T frames or fewer gives all of them and random repeats. In testing
      round(s·i) + floor(s·(v+1)/(V+1)).
    * ``'dense'``: every floor(128/T)-th frame of a window of 128 frames, from a random start,
      counted on from the first frame where the video ends. In testing window v starts at
      v·floor((L-128)/(V-1)).

    Validation between epochs takes ``test_mode=True`` with one view; under ``'dense'`` the
    released code takes a random clip there, which is ``test_mode=False``. Random numbers come
    from Python's (``'kinetics'``) or NumPy's global generator, as released.

    Args:
        clip_len: frames T of a clip.
        rule: see above; the released code names the first two after the data sets.
        num_views: clips V of a video in testing.
        test_mode: fixed clips instead of a random one.

    Raises:
        ValueError: for an unknown rule, several views in training, or one dense view in
            testing, where the released code divides by zero.
    """

    def __init__(
        self, clip_len: int, rule: str, num_views: int = 1, test_mode: bool = False
    ) -> None:
        super().__init__(clip_len, test_mode)
        if rule not in RULES:
            raise ValueError(f'SampleSide4Video: rule must be one of {RULES}, got {rule!r}.')
        if num_views < 1 or (num_views > 1 and not test_mode):
            raise ValueError(
                'SampleSide4Video: num_views must be at least 1, and 1 in training, got '
                f'{num_views}. Set test_mode=True for several views.'
            )
        if rule == 'dense' and test_mode and num_views == 1:
            raise ValueError(
                'SampleSide4Video: dense testing needs num_views of 2 or more, got 1. '
                'For one random dense clip set test_mode=False.'
            )
        if rule == 'dense' and clip_len > WINDOW:
            raise ValueError(
                f'SampleSide4Video: a dense clip has at most {WINDOW} frames, got {clip_len}.'
            )
        self.rule, self.num_clips = rule, num_views
        self.frame_interval = WINDOW // clip_len if rule == 'dense' else None

    def train_clips(self, total: int) -> list[list[int]]:
        """One random clip."""
        if self.rule == 'kinetics':
            return [[random.randint(*ends) for ends in equal_segments(total, self.clip_len)]]
        if self.rule == 'something':
            return [self._runs(total)]
        starts = max(1, total - WINDOW + 1)
        return [self._window(0 if starts == 1 else np.random.randint(0, starts - 1), total)]

    def test_clips(self, total: int) -> list[list[int]]:
        """V fixed clips."""
        views = range(self.num_clips)
        if self.rule == 'kinetics':
            return [self._every(offset, total) for offset in self._offsets(total)]
        if self.rule == 'something':
            step = (total - 1) / self.clip_len
            firsts = [round(step * i) for i in range(self.clip_len)]
            shifts = [math.floor(step / (self.num_clips + 1) * (v + 1)) for v in views]
            return [[first + shift for first in firsts] for shift in shifts]
        step = max(0, total - WINDOW) // (self.num_clips - 1)
        return [self._window(v * step, total) for v in views]

    def _runs(self, total: int) -> list[int]:
        if total <= self.clip_len:
            repeats = np.random.randint(total, size=self.clip_len - total)
            return sorted([*range(total), *repeats.tolist()])
        ticks = [i * total // self.clip_len for i in range(self.clip_len + 1)]
        runs = zip(ticks[:-1], ticks[1:], strict=True)
        return [first + np.random.randint(end - first) for first, end in runs]

    def _offsets(self, total: int) -> list[int]:
        spread = np.linspace(0, total / self.clip_len - 1, self.num_clips, dtype=int)
        return spread.tolist()

    def _every(self, offset: int, total: int) -> list[int]:
        step = total / self.clip_len
        return [int(offset + i * step) % total for i in range(self.clip_len)]

    def _window(self, start: int, total: int) -> list[int]:
        assert self.frame_interval is not None
        return [(start + i * self.frame_interval) % total for i in range(self.clip_len)]
