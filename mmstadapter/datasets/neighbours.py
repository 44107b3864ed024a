"""The frames around each sampled one, as TDS-CLIP looks at them."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

BEFORE = ('first', 'last')


@TRANSFORMS.register_module()
class AddNeighbours(BaseTransform):
    """Put its neighbours around each sampled frame: T frames become T groups of n, in order.

    Stands between the step that samples and the one that decodes, whichever they are; what follows
    takes a clip of T·n frames for one clip and changes all its frames alike. Behind the last frame
    of the video that one is repeated, before the first one likewise. The released TDS-CLIP does so
    for folders of frames; from video files it reads, before the first frame, the video's last ones
    (``before_first='last'``), so that the first group's differences leap over the whole video.

    Reads ``frame_inds``, ``total_frames``, ``clip_len`` and ``start_index`` (0 if absent); changes
    ``frame_inds`` (V·T·n) and ``clip_len`` (T·n).

    Args:
        num_diff: frames n of a group, odd, the sampled one in its midst; the model's ``num_diff``.
        before_first: what stands for frames before the first: the ``'first'`` one, or the video's
            ``'last'`` ones.

    Raises:
        ValueError: for an even number or another word.
    """

    def __init__(self, num_diff: int = 5, before_first: str = 'first') -> None:
        if num_diff < 1 or num_diff % 2 == 0:
            raise ValueError(
                'AddNeighbours: num_diff must be odd, so that the sampled frame is in the middle, '
                f'got {num_diff}. The released TDS-CLIP has 5.'
            )
        if before_first not in BEFORE:
            raise ValueError(
                f'AddNeighbours: before_first must be one of {BEFORE}, got {before_first!r}.'
            )
        self.num_diff, self.before_first = num_diff, before_first

    def transform(self, results: dict) -> dict:
        """Change the indices."""
        start, total = int(results.get('start_index', 0)), int(results['total_frames'])
        sampled = np.ravel(results['frame_inds']) - start
        reach = self.num_diff // 2
        groups = sampled[:, None] + np.arange(-reach, reach + 1)
        if self.before_first == 'last':
            groups = np.where(groups < 0, groups % total, groups)
        frames = groups.clip(0, total - 1).ravel() + start
        results['frame_inds'] = frames.astype(np.int32)
        results['clip_len'] = results['clip_len'] * self.num_diff
        return results

    def __repr__(self) -> str:
        name = type(self).__name__
        return f'{name}(num_diff={self.num_diff}, before_first={self.before_first!r})'


def group_size(steps: Iterable[Mapping]) -> int:
    """Frames that a pipeline takes for each one that it samples."""
    kinds = ((str(step.get('type')).rpartition('.')[2], step) for step in steps)
    return math.prod(step.get('num_diff', 5) for kind, step in kinds if kind == 'AddNeighbours')
