"""Resizing and cropping as the released Side4Video code does it: with Pillow, in whole grey levels.

Every step takes and gives ``imgs``, a list of (H, W, 3) uint8 RGB arrays. Pillow's filters smooth
where they shrink and round to 0..255 after each step; OpenCV's in ``ResizeShortSide`` do neither.
Random numbers come from Python's global generator, in the order of the released code.
"""

import math
import random

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from PIL import Image

from .spatial import RandomPart, crop

FILTERS = dict(bicubic=Image.Resampling.BICUBIC, bilinear=Image.Resampling.BILINEAR)


def resize(image: np.ndarray, height: int, width: int, kind: str) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3) uint8 by Pillow's filter of that name."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.array(picture.resize((width, height), FILTERS[kind]))  # later steps may work in place


def scaled(height: int, width: int, short: int) -> tuple[int, int]:
    """The size whose short side has a given length; the long side is floored."""
    if height < width:
        return short, int(short * width / height)
    return int(short * height / width), short


@TRANSFORMS.register_module()
class PILResize(BaseTransform):
    """Resize all frames with Pillow's bicubic filter.

    Args:
        size: length of the short side (Kinetics: 256), or (height, width), whatever the shape
            was (Something-Something: (256, 320)).
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        lengths = (size,) if isinstance(size, int) else tuple(size)
        if len(lengths) not in (1, 2) or min(lengths) < 1:
            raise ValueError(
                f'PILResize: size must be a length or (height, width) in pixels, got {size}.'
            )
        self.size = size if isinstance(size, int) else lengths

    def transform(self, results: dict) -> dict:
        """Resize all frames alike."""
        height, width = results['imgs'][0].shape[:2]
        if isinstance(self.size, int):
            height, width = scaled(height, width, self.size)
        else:
            height, width = self.size
        results['imgs'] = [resize(image, height, width, 'bicubic') for image in results['imgs']]
        results['img_shape'] = (height, width)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


@TRANSFORMS.register_module()
class PILRandomSquare(RandomPart):
    """A random part of the frames, by the rule of the released Side4Video code, bilinear.

    The part's share of the frame's area is uniform, its width to height is uniform too, and both
    are exchanged half of the time. After 10 tries that do not fit, the frames are resized to a
    short side of ``size`` and a random square is cut out. Arguments as for :class:`RandomPart`;
    the frame is what ``PILResize`` gave.
    """

    def box(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        """A random (top, left, height, width) within a frame; None if no try fits."""
        for _ in range(self.tries):
            pixels = random.uniform(*self.area) * (height * width)
            shape = random.uniform(*self.aspect)
            w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
            if random.random() < 0.5:
                w, h = h, w
            if 0 < w <= width and 0 < h <= height:
                left = random.randint(0, width - w)
                return random.randint(0, height - h), left, h, w
        return None

    def transform(self, results: dict) -> dict:
        """Crop and resize all frames alike."""
        images, size = results['imgs'], self.size
        height, width = images[0].shape[:2]
        box = self.box(height, width)
        if box is None:
            height, width = scaled(height, width, size)
            images = [resize(image, height, width, 'bilinear') for image in images]
            left = random.randint(0, width - size)
            results['imgs'] = crop(images, random.randint(0, height - size), left, size, size)
        else:
            parts = crop(images, *box)
            results['imgs'] = [resize(part, size, size, 'bilinear') for part in parts]
        results['img_shape'] = (size, size)
        return results


@TRANSFORMS.register_module()
class RandomGrey(BaseTransform):
    """Take the colour out of a whole clip, sometimes: R = G = B = 0.299 R + 0.587 G + 0.114 B.

    Args:
        p: probability; 0.2 in the released Kinetics recipe.
    """

    def __init__(self, p: float = 0.2) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f'RandomGrey: p must be a probability in [0, 1], got {p}.')
        self.p = p

    def transform(self, results: dict) -> dict:
        """Change all frames or none."""
        if random.random() < self.p:
            results['imgs'] = [_grey(image) for image in results['imgs']]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(p={self.p})'


def _grey(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(image)).convert('L')
    return np.repeat(np.asarray(picture)[:, :, None], 3, axis=2)
