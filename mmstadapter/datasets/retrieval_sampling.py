"""Which frames of a video a caption is compared with: the rules of the released retrieval code."""

import math

import numpy as np
from mmaction.registry import TRANSFORMS

from .sampling import ClipSampler

RULES = ('every', 'middle', 'ends')
CUTS = ('even', 'first', 'last')
SHORT = ('spread', 'first')


@TRANSFORMS.register_module()
class SampleSpread(ClipSampler):
    """T frames spread over the whole video, as Side4Video's retrieval code takes them.

    With n frames, in training one random frame of each of T runs of n // T frames ("strategy 3";
    the last n mod T frames never come up). In testing

    * ``'every'`` (strategy 1: MSR-VTT, MSVD): every (n // T)-th frame from the first on, which
      are T or more, and of these T by ``cut``;
    * ``'middle'`` (strategy 4: VATEX): frames floor(n / 2T + k·n/T);
    * ``'ends'`` (TempMe, in training too): frames floor(k·(n - 1)/(T - 1)), for any n.

    The released code has frames stored 30 a second and reads all their numbers, so T frames are
    spread over a video's whole length whatever its rate; here a video file is read directly at
    its own rate. CLIP4Clip first thins a video to 1 frame a second: ``fps=1``.

    Videos of fewer than T frames (``'middle'``: T or fewer): the released code repeats the first
    frame T times (``short='first'``), or, with ``'every'``, takes any video of fewer than 30
    frames for one of 30 and fails on the missing file. Here ``'every'`` keeps its rule below 30
    frames, where the released code works on 29 only, and by default the frames there are get
    repeated evenly.

    Args:
        clip_len: frames T.
        test_mode: the fixed frames of ``rule`` instead of random ones.
        rule: ``'every'``, ``'middle'`` or ``'ends'``, for testing.
        cut: which T of more frames under ``'every'``: ``'even'`` (``slice_framepos`` 2 there),
            ``'first'`` (0) or ``'last'`` (1).
        short: ``'spread'`` or ``'first'``, see above.
        fps: take the video as if it were stored with so many frames a second, at most its own.
        seconds: use only the first so many seconds (DiDeMo was annotated on 30).

    Raises:
        ValueError: for an unknown choice, or ``fps`` or ``seconds`` for frames whose rate is
            unknown (``avg_fps``).
    """

    def __init__(
        self,
        clip_len: int,
        test_mode: bool = False,
        rule: str = 'every',
        cut: str = 'even',
        short: str = 'spread',
        fps: float | None = None,
        seconds: float | None = None,
    ) -> None:
        super().__init__(clip_len, test_mode)
        for name, value, known in (
            ('rule', rule, RULES),
            ('cut', cut, CUTS),
            ('short', short, SHORT),
        ):
            if value not in known:
                raise ValueError(f'SampleSpread: {name} must be one of {known}, got {value!r}.')
        for name, number in (('fps', fps), ('seconds', seconds)):
            if number is not None and number <= 0:
                raise ValueError(f'SampleSpread: {name} must be above 0, got {number}.')
        self.rule, self.cut, self.short = rule, cut, short
        self.fps, self.seconds = fps, seconds

    def transform(self, results: dict) -> dict:
        """Add the indices, counted in the video's own frames."""
        kept = self._kept(results)
        start = int(results.get('start_index', 0))
        total = results['total_frames']
        results = super().transform(results | dict(total_frames=len(kept)))
        results['frame_inds'] = (kept[results['frame_inds'] - start] + start).astype(np.int32)
        results['total_frames'] = total
        return results

    def _kept(self, results: dict) -> np.ndarray:
        """Indices of the frames that ``fps`` and ``seconds`` leave, (n,)."""
        total = int(results['total_frames'])
        if self.fps is None and self.seconds is None:
            return np.arange(total)
        rate = float(results.get('avg_fps') or 0)
        if rate <= 0:
            name = results.get('filename', 'a video')
            raise ValueError(
                f'SampleSpread: fps and seconds need the frame rate, unknown for {name}. '
                'Leave them out for stored frames.'
            )
        if self.seconds is not None:
            total = max(1, min(total, math.floor(self.seconds * rate)))
        if self.fps is None or self.fps >= rate:
            return np.arange(total)
        step = rate / self.fps
        kept = (np.arange(math.ceil(total / step)) * step).astype(int)
        return kept[kept < total]  # rounding may bring in the one after the last

    def train_clips(self, total: int) -> list[list[int]]:
        """One random frame of each run."""
        length = total // self.clip_len
        if not length:
            return [self._repeated(total)]
        starts = np.arange(self.clip_len) * length
        return [(starts + np.random.randint(length, size=self.clip_len)).tolist()]

    def test_clips(self, total: int) -> list[list[int]]:
        """The frames of ``rule``."""
        if self.rule == 'every':
            return [self._every(total)]
        if self.rule == 'ends':
            return [np.linspace(0, total - 1, self.clip_len, dtype=int).tolist()]
        if total <= self.clip_len:
            return [self._repeated(total)]
        tick = total / self.clip_len
        return [[int(tick / 2 + tick * k) for k in range(self.clip_len)]]

    def _every(self, total: int) -> list[int]:
        if total < self.clip_len:
            return self._repeated(total)
        frames = np.arange(0, total, total // self.clip_len)
        if self.cut == 'even':
            return frames[np.linspace(0, len(frames) - 1, self.clip_len, dtype=int)].tolist()
        return (
            frames[: self.clip_len] if self.cut == 'first' else frames[-self.clip_len :]
        ).tolist()

    def _repeated(self, total: int) -> list[int]:
        """All of too few frames, each as often as the next, or the first alone."""
        if self.short == 'first':
            return [0] * self.clip_len
        return [k * total // self.clip_len for k in range(self.clip_len)]
