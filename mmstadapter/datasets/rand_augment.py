"""RandAugment for clips: the same operations with the same strength for all frames."""

import random
import re
from collections.abc import Callable

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from PIL import Image, ImageEnhance, ImageOps

_GREY = (128, 128, 128)
_PROBABILITY = 0.5
_STRONGEST = 10.0


def _affine(matrix: Callable[[Image.Image, float], tuple]) -> Callable:
    """Resample where output (x, y) shows input (ax + by + c, dx + ey + f), bicubic, grey beyond."""

    def apply(image: Image.Image, amount: float) -> Image.Image:
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix(image, amount),
            resample=Image.Resampling.BICUBIC,
            fillcolor=_GREY,
        )

    return apply


def _enhance(kind: type) -> Callable:
    return lambda image, factor: kind(image).enhance(factor)


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=_GREY)


def _posterize(image: Image.Image, bits: int) -> Image.Image:
    mask = 256 - 2 ** (8 - bits)  # 0 bits: black, which ImageOps.posterize refuses
    return image.point([value & mask for value in range(256)] * 3)


def _brighten_dark(image: Image.Image, added: int) -> Image.Image:
    table = [min(255, value + added) if value < 128 else value for value in range(256)]
    return image.point(table * 3)


def _either_sign(largest: float) -> Callable[[float], float]:
    """Level 0..1 -> -largest..largest, the sign by chance."""
    return lambda level: -level * largest if random.random() > 0.5 else level * largest


def _around_one(level: float) -> float:
    """Level 0..1 -> 0.1..1.9; 1 changes nothing."""
    return 1.0 + _either_sign(0.9)(level)


# Name: (what the operation needs for a level of 0..1, the operation). The order is timm's, so
# that the same random numbers choose the same operations.
OPERATIONS: dict[str, tuple[Callable[[float], float | None], Callable]] = {
    'auto_contrast': (lambda level: None, lambda image, _: ImageOps.autocontrast(image)),
    'equalize': (lambda level: None, lambda image, _: ImageOps.equalize(image)),
    'invert': (lambda level: None, lambda image, _: ImageOps.invert(image)),
    'rotate': (_either_sign(30.0), _rotate),  # degrees
    'posterize': (lambda level: 4 - int(level * 4), _posterize),  # bits kept
    'solarize': (lambda level: 256 - int(level * 256), ImageOps.solarize),  # threshold
    'solarize_add': (lambda level: int(level * 110), _brighten_dark),
    'color': (_around_one, _enhance(ImageEnhance.Color)),
    'contrast': (_around_one, _enhance(ImageEnhance.Contrast)),
    'brightness': (_around_one, _enhance(ImageEnhance.Brightness)),
    'sharpness': (_around_one, _enhance(ImageEnhance.Sharpness)),
    'shear_x': (_either_sign(0.3), _affine(lambda image, a: (1, a, 0, 0, 1, 0))),
    'shear_y': (_either_sign(0.3), _affine(lambda image, a: (1, 0, 0, a, 1, 0))),
    # shares of width and height
    'translate_x': (_either_sign(0.45), _affine(lambda im, a: (1, 0, a * im.size[0], 0, 1, 0))),
    'translate_y': (_either_sign(0.45), _affine(lambda im, a: (1, 0, 0, 0, 1, a * im.size[1]))),
}


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """RandAugment (Cubuk et al. 2019) in timm's "increasing" form, one draw for a whole clip.

    Draws n of 15 operations with replacement; applies each with probability 1/2, at a
    magnitude drawn from N(m, mstd) and clipped to [0, 10]. Works on uint8 frames at full
    size; resampling is bicubic, what comes into view is grey (128). The released ST-Adapter
    trains Something-Something V2 with ``rand-m7-n4-mstd0.5-inc1``. Random numbers come from
    NumPy's and Python's global generators, in timm's order.

    Args:
        policy: ``rand-m<magnitude>-n<operations>-mstd<deviation>-inc1``, parts in any order
            after ``rand``; ``mstd`` may be left out (0).

    Raises:
        ValueError: if the policy says anything else.
    """

    def __init__(self, policy: str = 'rand-m7-n4-mstd0.5-inc1') -> None:
        self.policy = policy
        self.magnitude, self.count, self.deviation = _parse(policy)

    def transform(self, results: dict) -> dict:
        """Change all frames alike."""
        images = results['imgs']
        if images[0].dtype != np.uint8:
            raise ValueError(
                f'RandAugment: needs uint8 frames, got {images[0].dtype}. '
                'Put it right after VideoDecode, before resizing.'
            )
        chosen = self._draw()
        if chosen:
            results['imgs'] = [_apply(chosen, image) for image in images]
        return results

    def _draw(self) -> list[tuple[Callable, float | None]]:
        names = list(OPERATIONS)
        chosen = []
        for number in np.random.choice(len(names), self.count):
            if random.random() > _PROBABILITY:
                continue
            level = self.magnitude
            if self.deviation > 0:
                level = random.gauss(level, self.deviation)
            level = min(max(level, 0.0), _STRONGEST) / _STRONGEST
            amount, operation = OPERATIONS[names[number]]
            chosen.append((operation, amount(level)))
        return chosen

    def __repr__(self) -> str:
        return f'{type(self).__name__}(policy={self.policy!r})'


def _apply(chosen: list[tuple[Callable, float | None]], image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image)
    for operation, amount in chosen:
        picture = operation(picture, amount)
    return np.array(picture)


def _parse(policy: str) -> tuple[float, int, float]:
    """'rand-m7-n4-mstd0.5-inc1' -> magnitude, number of operations, deviation."""
    head, *parts = policy.split('-')
    found = [re.fullmatch(r'(mstd|m|n|inc)(\d+(?:\.\d+)?)', part) for part in parts]
    values = {match[1]: match[2] for match in found if match}
    wrong = (
        head != 'rand'
        or len(values) < len(parts)
        or not {'m', 'n', 'inc'} <= set(values)
        or not values['n'].isdigit()
        or values['inc'] != '1'
        or float(values['m']) > _STRONGEST
    )
    if wrong:
        raise ValueError(
            "RandAugment: policy must be like 'rand-m7-n4-mstd0.5-inc1' (magnitude m up to 10, "
            f'n operations, deviation mstd, the increasing set inc1), got {policy!r}.'
        )
    return float(values['m']), int(values['n']), float(values.get('mstd', 0))
