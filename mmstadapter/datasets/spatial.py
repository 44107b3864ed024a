"""Resizing and cropping as the released ST-Adapter code does it: in float, bicubic.

The released code normalises first and resizes then. Bicubic weights sum to one, so resizing
0..255 frames and normalising later (the data preprocessor does) gives the same numbers. OpenCV's
bicubic (a = -0.75, pixel centres at halves, borders repeated, no antialiasing) is PyTorch's: they
differ by at most 4e-4 after normalisation, all of it PyTorch's rounding (OpenCV is within 2e-6
of double precision), and OpenCV takes a tenth to a quarter of the time (benchmarks/decode_*.md).

Every step takes and gives ``imgs``, a list of (H, W, 3) arrays, 0..255; the steps that resize
give float32 that may leave that range a little, as released, or with ``pixels='uint8'`` whole
grey levels, as MMAction2 has them: a quarter of the bytes from the loader to the device, for a
difference of half a grey level at most within 0..255 (0.0075 after CLIP's normalisation).
"""

import math
import random
from collections.abc import Collection

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

INTERPOLATIONS = dict(bicubic=cv2.INTER_CUBIC, bilinear=cv2.INTER_LINEAR)
PIXELS = ('float32', 'uint8')


def resize(
    image: np.ndarray,
    height: int,
    width: int,
    interpolation: str = 'bicubic',
    pixels: str = 'float32',
) -> np.ndarray:
    """(H, W, 3) of any type -> (height, width, 3) of type `pixels`, without antialiasing."""
    how = INTERPOLATIONS[interpolation]
    resized = cv2.resize(image.astype(np.float32), (width, height), interpolation=how)
    return resized if pixels == 'float32' else np.rint(resized).clip(0, 255).astype(np.uint8)


def check_choice(step: str, name: str, value: str, known: Collection[str]) -> str:
    """Return a value that is known, or raise ValueError."""
    if value not in known:
        raise ValueError(f'{step}: {name} must be one of {", ".join(known)}, got {value!r}.')
    return value


@TRANSFORMS.register_module()
class ResizeShortSide(BaseTransform):
    """Resize so that the short side has a given or random length; the long side is floored.

    Args:
        size: the length, or (low, high) for round(U(low, high)), halves to even. The released
            Kinetics recipe takes (224, 258) in training and 224 in testing.
        interpolation: ``'bicubic'`` (ST-Adapter) or ``'bilinear'`` (EVL, DiST).
        pixels: ``'float32'`` or ``'uint8'``, see above.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        interpolation: str = 'bicubic',
        pixels: str = 'float32',
    ) -> None:
        low, high = (size, size) if isinstance(size, int) else size
        if not 1 <= low <= high:
            raise ValueError(
                'ResizeShortSide: size must be a length or (low, high) with low <= high, '
                f'got {size}.'
            )
        self.size = size
        self.interpolation = check_choice(
            'ResizeShortSide', 'interpolation', interpolation, INTERPOLATIONS
        )
        self.pixels = check_choice('ResizeShortSide', 'pixels', pixels, PIXELS)

    def transform(self, results: dict) -> dict:
        """Resize all frames alike."""
        height, width = results['imgs'][0].shape[:2]
        short, long = sorted((height, width))
        if isinstance(self.size, int):
            size, rest = self.size, long * self.size // short
        else:  # the released code floors a float here, which matters for exact ratios
            size = round(np.random.uniform(*self.size))
            rest = math.floor(long / short * size)
        height, width = (rest, size) if width < height else (size, rest)
        results['imgs'] = [
            resize(image, height, width, self.interpolation, self.pixels)
            for image in results['imgs']
        ]
        results['img_shape'] = (height, width)
        return results

    def __repr__(self) -> str:
        name = type(self).__name__
        return f'{name}(size={self.size}, interpolation={self.interpolation!r})'


@TRANSFORMS.register_module()
class RandomSquare(BaseTransform):
    """Cut the same random square out of all frames.

    As in the released code, an offset of the full difference never comes up: offsets are
    drawn from [0, H - size) and [0, W - size).

    Args:
        size: side of the square in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, results: dict) -> dict:
        """Crop all frames alike."""
        height, width = results['imgs'][0].shape[:2]
        _needs_room(type(self).__name__, self.size, height, width)
        top = np.random.randint(height - self.size) if height > self.size else 0
        left = np.random.randint(width - self.size) if width > self.size else 0
        results['imgs'] = crop(results['imgs'], top, left, self.size, self.size)
        results['img_shape'] = (self.size, self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


class RandomPart(BaseTransform):
    """Cut the same random part out of all frames and resize it to a square; base of two rules.

    Args:
        size: side of the resulting square in pixels.
        area: least and largest share of the frame as it comes.
        aspect: least and largest width / height.
    """

    tries = 10

    def __init__(
        self,
        size: int,
        area: tuple[float, float] = (0.08, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        name = type(self).__name__
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f'{name}: area must be two shares in (0, 1], got {area}.')
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f'{name}: aspect must be (low, high) above 0, got {aspect}.')
        self.size, self.area, self.aspect = size, area, aspect

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, area={self.area}, aspect={self.aspect})'


@TRANSFORMS.register_module()
class RandomResizedSquare(RandomPart):
    """A random part of the frames, by the rule of the released ST-Adapter code.

    The part's share of the area is uniform, its width to height log-uniform; after 10 tries
    that do not fit, the largest centred part with a permitted shape. Random numbers come from
    Python's global generator, as in the released code. Arguments as for :class:`RandomPart`,
    ``interpolation``, ``'bicubic'`` (ST-Adapter) or ``'bilinear'`` (EVL, DiST), and ``pixels``,
    ``'float32'`` or ``'uint8'``, see above.
    """

    def __init__(
        self, *args, interpolation: str = 'bicubic', pixels: str = 'float32', **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        name = type(self).__name__
        self.interpolation = check_choice(name, 'interpolation', interpolation, INTERPOLATIONS)
        self.pixels = check_choice(name, 'pixels', pixels, PIXELS)

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """A random (top, left, height, width) within a frame."""
        for _ in range(self.tries):
            pixels = random.uniform(*self.area) * (height * width)
            shape = math.exp(random.uniform(*(math.log(bound) for bound in self.aspect)))
            w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
            if 0 < w <= width and 0 < h <= height:
                top = random.randint(0, height - h)
                return top, random.randint(0, width - w), h, w
        shape = min(max(width / height, self.aspect[0]), self.aspect[1])
        w, h = min(width, round(height * shape)), min(height, round(width / shape))
        return (height - h) // 2, (width - w) // 2, h, w

    def transform(self, results: dict) -> dict:
        """Crop and resize all frames alike."""
        images = crop(results['imgs'], *self.box(*results['imgs'][0].shape[:2]))
        results['imgs'] = [
            resize(image, self.size, self.size, self.interpolation, self.pixels) for image in images
        ]
        results['img_shape'] = (self.size, self.size)
        return results


@TRANSFORMS.register_module()
class SpatialViews(BaseTransform):
    """Cut one or three fixed squares out of all frames, for testing.

    The views are ordered square by square, clips within. Two rules:

    * ``'ends'`` (ST-Adapter): one square is the centre, offsets rounded down; three are start,
      middle and end of the longer side.
    * ``'quarters'`` (Side4Video): one is the centre, odd halves to even; three stand 0, 4q and
      2q from the left with q = (W - size) // 4, in this order, and 2·((H - size) // 4) from the
      top; an upright video is cut along its width as well.

    Args:
        size: side of the squares in pixels.
        num_crops: 1 or 3; for 3 under ``'ends'`` the short side must equal ``size``
            (``ResizeShortSide``).
        rule: see above.
    """

    def __init__(self, size: int, num_crops: int = 1, rule: str = 'ends') -> None:
        if num_crops not in (1, 3):
            raise ValueError(f'SpatialViews: num_crops must be 1 or 3, got {num_crops}.')
        if rule not in ('ends', 'quarters'):
            raise ValueError(f"SpatialViews: rule must be 'ends' or 'quarters', got {rule!r}.")
        self.size, self.num_crops, self.rule = size, num_crops, rule

    def corners(self, height: int, width: int) -> list[tuple[int, int]]:
        """(top, left) of each square."""
        _needs_room(type(self).__name__, self.size, height, width)
        down, right = height - self.size, width - self.size
        if self.rule == 'quarters':
            if self.num_crops == 1:
                return [(round(down / 2), round(right / 2))]
            return [(2 * (down // 4), k * (right // 4)) for k in (0, 4, 2)]
        if self.num_crops == 1:
            return [(down // 2, right // 2)]
        if min(down, right) > 0:
            raise ValueError(
                f'SpatialViews: three squares of {self.size} need frames whose short side is '
                f'{self.size}, got {height}x{width}. Put ResizeShortSide({self.size}) before.'
            )
        return [(0, 0), (down // 2, right // 2), (down, right)]

    def transform(self, results: dict) -> dict:
        """Replace T frames by num_crops·T."""
        images = results['imgs']
        corners = self.corners(*images[0].shape[:2])
        results['imgs'] = [
            square for corner in corners for square in crop(images, *corner, self.size, self.size)
        ]
        results['img_shape'] = (self.size, self.size)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, num_crops={self.num_crops}, '
            f'rule={self.rule!r})'
        )


def crop(images: list, top: int, left: int, height: int, width: int) -> list[np.ndarray]:
    """The same part of all frames."""
    return [image[top : top + height, left : left + width] for image in images]


def _needs_room(name: str, size: int, height: int, width: int) -> None:
    if min(height, width) < size:
        raise ValueError(
            f'{name}: a square of {size} does not fit frames of {height}x{width}. '
            f'Put ResizeShortSide({size}) before.'
        )
