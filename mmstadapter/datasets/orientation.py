"""How a picture is to be turned and mirrored for display: a file's display matrix."""

import logging
from functools import lru_cache
from typing import Any

import av
import numpy as np
from mmengine.logging import print_log

# (a, b, c, d) of the eight: a stored pixel's step to the right is (a, b) on the display, its step
# down (c, d); the display's x goes right and y down (ISO 14496-12 8.3.2, ffmpeg's display.h).
UPRIGHT = (1, 0, 0, 1)
_EIGHT = (
    UPRIGHT, (1, 0, 0, -1), (-1, 0, 0, 1), (-1, 0, 0, -1),
    (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0),
)  # fmt: skip
_ONE = 1 << 16
UPRIGHT_MATRIX = (_ONE, 0, 0, _ONE)
_ROUNDING = 2 / _ONE


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...]:
    """The four numbers (a, b, c, d) that turn and mirror, in 65536ths."""
    noted: Any = frame.side_data.get('DISPLAYMATRIX')
    if noted is None:
        return UPRIGHT_MATRIX
    a, b, _, c, d = np.frombuffer(bytes(noted), np.int32, 5).tolist()
    return a, b, c, d


def orient(image: np.ndarray, matrix: tuple[int, ...], path: str) -> np.ndarray:
    """The picture (H, W, 3) as it is meant to be seen, turned and mirrored by the nearest of eight.

    Args:
        image: as stored.
        matrix: of :func:`display_matrix`.
        path: named in the log, once, where the matrix is none of the eight.
    """
    a, b, c, d = nearest(matrix, path)
    if (a, b, c, d) == UPRIGHT:
        return image
    if a:
        return np.ascontiguousarray(image[::d, ::a])
    return np.ascontiguousarray(image.transpose(1, 0, 2)[::b, ::c])


@lru_cache(maxsize=1024)
def nearest(matrix: tuple[int, ...], path: str) -> tuple[int, ...]:
    """Which of the eight orientations a matrix is, or comes nearest to."""
    given = np.array(matrix) / _ONE
    best = max(_EIGHT, key=lambda kind: float(given @ kind))
    size = np.sqrt(abs(given[0] * given[3] - given[1] * given[2]))
    if not size or np.abs(given / size - best).max() > _ROUNDING:
        words = ' '.join(f'{part:.4f}' for part in given)
        name = _name(best)
        print_log(
            f'{path}: its display matrix ({words}) is none of the eight ways of turning and '
            f'mirroring by right angles; it is shown {name}.',
            'current',
            logging.WARNING,
        )
    return best


def _name(kind: tuple[int, ...]) -> str:
    a, b, c, d = kind
    turned = {(1, 0): 'upright', (0, 1): 'turned right', (-1, 0): 'upside down'}
    mirrored = a * d - b * c < 0
    words = turned.get((a, b), 'turned left')
    return f'{words} and mirrored' if mirrored else words
