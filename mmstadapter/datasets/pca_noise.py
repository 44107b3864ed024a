"""Noise along the principal colours of ImageNet."""

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

# Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
# section 4.1: spread of the colours (0..255) along each principal direction, rows R, G, B.
SPREAD = np.array([55.46, 4.794, 1.148])
DIRECTIONS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


@TRANSFORMS.register_module()
class PCANoise(BaseTransform):
    """Shift the colours of a whole clip, more where colours vary more.

    What ``ColorJitter`` of MMAction2 before version 1 does with its defaults, and AIM's released
    recipe for ViT-L on Kinetics-400 with it. Takes and gives ``imgs``, (H, W, 3) RGB, 0..255; the
    shift is rounded to whole grey levels.

    Args:
        std: standard deviation of the shift along each direction, in units of its spread.
    """

    def __init__(self, std: float = 0.1) -> None:
        if std < 0:
            raise ValueError(f'PCANoise: std must not be negative, got {std}.')
        self.std = std

    def transform(self, results: dict) -> dict:
        """Shift all frames alike."""
        shift = DIRECTIONS @ (np.random.normal(0, self.std, 3) * SPREAD)
        results['imgs'] = [_shifted(image, shift) for image in results['imgs']]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(std={self.std})'


def _shifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image + shift), 0, 255).astype(image.dtype)
