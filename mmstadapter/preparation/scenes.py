"""What a scene is: a handwritten digit that moves on a coloured, patterned ground.

Everything that makes the data set lives here as plain functions of a random
generator: words, glyphs, single pictures and clips. `moving_digits.py` films scenes,
`tiny_clip.py` photographs them, `blinking_digits.py` lets a digit come and go.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

SIZE = 32  # pixels of a square frame
FRAMES = 24  # frames of a clip, at 24 frames a second
NOISE = 4.0  # standard deviation of the pixel noise, in grey levels of 255
TRAIN_SOURCES = 1297  # handwritten originals for training; the other 500 are for validation

DIGITS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
COLOURS = {
    'red': (120, 30, 30),
    'green': (25, 95, 35),
    'blue': (30, 45, 130),
    'purple': (95, 35, 110),
    'grey': (75, 75, 75),
}
PATTERNS = ('horizontal stripes', 'vertical stripes', 'diagonal stripes', 'checks')
# Pairs of opposite motions: the second one is the first one played backwards. The
# pattern of the ground tells the pair and never the direction.
PAIRS = (('right', 'left'), ('down', 'up'), ('grow', 'shrink'), ('appear', 'fade'))
MOTIONS = tuple(motion for pair in PAIRS for motion in pair)
PHRASES = {
    'right': 'moves to the right',
    'left': 'moves to the left',
    'down': 'moves down',
    'up': 'moves up',
    'grow': 'grows',
    'shrink': 'shrinks',
    'appear': 'appears',
    'fade': 'fades away',
}


@dataclass(frozen=True)
class Scene:
    """What is to be seen in a clip, apart from the handwriting and the noise."""

    digit: int
    colour: str
    motion: str

    @property
    def caption(self) -> str:
        """For instance 'the digit three moves to the left'."""
        return f'the digit {DIGITS[self.digit]} {PHRASES[self.motion]}'

    @property
    def pair(self) -> int:
        """Index of the pair of opposite motions, 0 to 3."""
        return MOTIONS.index(self.motion) // 2

    @property
    def is_reversed(self) -> bool:
        """Whether the clip is the first motion of its pair played backwards."""
        return MOTIONS.index(self.motion) % 2 == 1


def split_glyphs() -> dict[str, list[np.ndarray]]:
    """Handwritten digits of scikit-learn, parted once and for all.

    Returns:
        ``{'train': glyphs, 'val': glyphs}``, glyphs[digit] of shape (n, 8, 8),
        float32 from 0 to 1; 1297 and 500 originals, none in both.
    """
    from sklearn.datasets import load_digits  # takes a second, and only making data needs it

    bunch = load_digits()
    images, labels = bunch.images.astype(np.float32) / 16, bunch.target
    order = np.random.default_rng(2022).permutation(len(images))
    parts = dict(train=order[:TRAIN_SOURCES], val=order[TRAIN_SOURCES:])
    return {
        split: [images[part[labels[part] == digit]] for digit in range(10)]
        for split, part in parts.items()
    }


def ground(colour: str, pattern: str) -> np.ndarray:
    """A dark ground of one colour with a pattern of period 8 pixels, (32, 32, 3) float32."""
    y, x = np.mgrid[:SIZE, :SIZE]
    light = {
        'horizontal stripes': y % 8 < 4,
        'vertical stripes': x % 8 < 4,
        'diagonal stripes': (x + y) % 8 < 4,
        'checks': (x % 8 < 4) ^ (y % 8 < 4),
    }[pattern]
    return np.array(COLOURS[colour], np.float32) * np.where(light, 1.25, 0.75)[..., None].astype(
        np.float32
    )


def paint(
    picture: np.ndarray,
    glyph: np.ndarray,
    centre: tuple[float, float],
    side: float,
    angle: float = 0.0,
    opacity: float = 1.0,
) -> np.ndarray:
    """Lay a light digit over a picture.

    Args:
        picture: (32, 32, 3) float32, 0 to 255.
        glyph: (8, 8) float32, 0 to 1.
        centre: (x, y) in pixels.
        side: side length of the glyph in pixels, fractions allowed.
        angle: rotation in radians.
        opacity: 0 (nothing) to 1.

    Returns:
        A new picture of the same shape.
    """
    cos, sin, scale = np.cos(angle), np.sin(angle), side / len(glyph)
    turn = np.array([[cos, -sin], [sin, cos]]) * scale
    shift = np.array(centre) - turn @ np.full(2, (len(glyph) - 1) / 2)
    ink = cv2.warpAffine(glyph, np.c_[turn, shift], (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    ink = (opacity * ink)[..., None]
    return picture + ink * (np.float32(235) - picture)


def expose(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the noise and round: float32 picture(s) -> uint8 of the same shape."""
    noisy = picture + NOISE * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def film(scene: Scene, glyph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Render a clip, (24, 32, 32, 3) uint8 RGB.

    Two scenes that differ in the direction alone give, from equal generators, the
    same frames in opposite order, noise included.
    """
    side = SIZE * rng.uniform(0.55, 0.66)
    x, y = SIZE / 2 - 0.5 + rng.uniform(-3, 3, size=2)
    reach = rng.uniform(5, 7)  # pixels travelled to either side
    angle = rng.uniform(-0.3, 0.3)  # more than in `photograph`: video brings new views
    steps = np.linspace(-1, 1, FRAMES)
    back = ground(scene.colour, PATTERNS[scene.pair])
    pictures = []
    for step in steps:
        view: dict[str, Any] = dict(centre=(x, y), side=side, angle=angle)
        if scene.pair == 0:
            view['centre'] = (x + reach * step, y)
        elif scene.pair == 1:
            view['centre'] = (x, y + reach * step)
        elif scene.pair == 2:
            view['side'] = side * (1 + 0.35 * step)
        else:
            view['opacity'] = 0.55 + 0.45 * step
        pictures.append(paint(back, glyph, **view))
    clip = expose(np.stack(pictures), rng)
    return clip[::-1] if scene.is_reversed else clip


def photograph(
    glyph: np.ndarray, colour: str, pattern: str, rng: np.random.Generator, jitter: float = 1.0
) -> np.ndarray:
    """Render a still, (32, 32, 3) uint8 RGB, for training an image model.

    ``jitter`` from 0 to 1 scales how far place, size and angle leave the middle.
    """
    side = SIZE * (0.64 + 0.14 * jitter * rng.uniform(-1, 1))
    room = SIZE / 2 - 0.42 * side  # the ink stays within 0.84 of the square, more or less
    x, y = SIZE / 2 - 0.5 + jitter * room * rng.uniform(-1, 1, size=2)
    angle = 0.2 * jitter * rng.uniform(-1, 1)
    return expose(paint(ground(colour, pattern), glyph, (x, y), side, angle), rng)


def every_caption() -> list[str]:
    """The 80 different captions, digit by digit."""
    return [Scene(d, 'grey', m).caption for d in range(10) for m in MOTIONS]


def still_captions(digit: int, colour: str, pattern: str) -> tuple[str, str, str]:
    """Three ways to describe a still: the digit alone, with its colour, with its pattern."""
    photo = f'a photo of the digit {DIGITS[digit]}'
    article = 'a' if colour[0] not in 'aeiou' else 'an'
    return photo, f'{photo} on {article} {colour} background', f'{photo} with {pattern}'
