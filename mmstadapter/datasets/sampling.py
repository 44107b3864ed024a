"""Which frames of a video make a clip: the rules of the released ST-Adapter code."""

from abc import abstractmethod

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


def equal_segments(total: int, clip_len: int) -> list[tuple[int, int]]:
    """First and last index of T segments of a video, which share their ends.

    With s = (L-1)/T, segment i reaches from round(s·i) to round(s·(i+1)), halves to even.
    """
    step = (total - 1) / clip_len
    ticks = [round(step * i) for i in range(clip_len + 1)]
    return list(zip(ticks[:-1], ticks[1:], strict=True))


class ClipSampler(BaseTransform):
    """Choose clips of frames; a subclass gives the rule.

    Reads ``total_frames`` and ``start_index`` (0 if absent); adds ``frame_inds`` (V·T),
    clip after clip, ``clip_len``, ``frame_interval`` and ``num_clips``, as MMAction2's
    SampleFrames does. Random numbers come from NumPy's global generator.

    Args:
        clip_len: frames T of a clip.
        test_mode: fixed clips instead of random ones.

    Raises:
        ValueError: if a video has no frames.
    """

    frame_interval: int | None = None
    num_clips = 1

    def __init__(self, clip_len: int, test_mode: bool = False) -> None:
        if clip_len < 1:
            raise ValueError(f'{type(self).__name__}: clip_len must be at least 1, got {clip_len}.')
        self.clip_len = clip_len
        self.test_mode = test_mode

    @abstractmethod
    def train_clips(self, total: int) -> list[list[int]]:
        """V random clips of T indices in [0, total)."""

    @abstractmethod
    def test_clips(self, total: int) -> list[list[int]]:
        """V fixed clips of T indices in [0, total)."""

    def transform(self, results: dict) -> dict:
        """Add the indices."""
        total = int(results['total_frames'])
        if total < 1:
            name = results.get('filename', 'a video')
            raise ValueError(
                f'{type(self).__name__}: needs at least 1 frame, {name} has {total}. '
                'Remove it from the annotation file.'
            )
        clips = self.test_clips(total) if self.test_mode else self.train_clips(total)
        indices = np.asarray(clips, dtype=np.int32).ravel()
        results['frame_inds'] = indices + np.int32(results.get('start_index', 0))
        results['clip_len'] = self.clip_len
        results['frame_interval'] = self.frame_interval
        results['num_clips'] = self.num_clips
        return results

    def __repr__(self) -> str:
        options = ', '.join(f'{key}={value}' for key, value in vars(self).items())
        return f'{type(self).__name__}({options})'


@TRANSFORMS.register_module()
class SampleSegments(ClipSampler):
    """One frame from each of T equal segments of the video (Something-Something).

    With s = (L-1)/T, segment i reaches from round(s·i) to round(s·(i+1)), both included,
    rounding halves to even. In training one of its frames at random, in testing the middle
    one, rounded down. A video of fewer than T frames repeats some.
    """

    def train_clips(self, total: int) -> list[list[int]]:
        """A random frame of each segment."""
        segments = equal_segments(total, self.clip_len)
        return [[np.random.randint(first, last + 1) for first, last in segments]]

    def test_clips(self, total: int) -> list[list[int]]:
        """The middle of each segment."""
        return [[(first + last) // 2 for first, last in equal_segments(total, self.clip_len)]]


@TRANSFORMS.register_module()
class SampleStride(ClipSampler):
    """T frames at a fixed distance r (Kinetics).

    A clip spans r·(T-1)+1 frames. In training it starts anywhere it fits; in a video that is
    no longer than the span it starts at 0 and repeats the last *sampled* frame. In testing V
    clips are spread evenly from the first possible start to the last (V = 1: the middle), and
    a short video is continued with its last frame.

    Args:
        clip_len: frames T of a clip.
        frame_interval: distance r of neighbouring frames.
        num_views: clips V of a video in testing.
        test_mode: fixed clips instead of a random one.
    """

    def __init__(
        self, clip_len: int, frame_interval: int, num_views: int = 1, test_mode: bool = False
    ) -> None:
        super().__init__(clip_len, test_mode)
        if frame_interval < 1 or num_views < 1:
            raise ValueError(
                'SampleStride: frame_interval and num_views must be at least 1, got '
                f'{frame_interval} and {num_views}.'
            )
        if num_views > 1 and not test_mode:
            raise ValueError(
                f'SampleStride: training takes one random clip, got num_views={num_views}. '
                'Set test_mode=True for several views.'
            )
        self.frame_interval = frame_interval
        self.num_clips = num_views

    @property
    def _offsets(self) -> range:
        assert self.frame_interval is not None
        return range(0, self.frame_interval * self.clip_len, self.frame_interval)

    def train_clips(self, total: int) -> list[list[int]]:
        """One clip at a random start."""
        span = self._offsets[-1] + 1
        if span >= total:
            last_sampled = max(offset for offset in self._offsets if offset < total)
            return [[min(offset, last_sampled) for offset in self._offsets]]
        start = np.random.randint(total - span + 1)
        return [[start + offset for offset in self._offsets]]

    def test_clips(self, total: int) -> list[list[int]]:
        """V clips, evenly spread."""
        slack = max(total - self._offsets[-1] - 1, 0)
        starts = [slack // 2]
        if self.num_clips > 1:
            starts = [round(slack / (self.num_clips - 1) * i) for i in range(self.num_clips)]
        return [[min(start + o, total - 1) for o in self._offsets] for start in starts]
