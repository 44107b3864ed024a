"""Make the blinking-digits data set: how often does the digit appear?

    mmstadapter prepare blinking_digits                  # 240 + 420 clips of 16 frames, 6 MB
    mmstadapter prepare blinking_digits --size small     # 60 + 60 clips, for trials

A handwritten digit is there in 8 of 16 frames and away in the other 8, in 1 to 6 appearances.
A clip consists of two pictures, eight times each, whatever the count, so a bag of frames says
nothing about it: validation holds every scene with all six counts, and a model that does not
look at the order of frames is right on at most one of them, 16.7 %.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from . import filming, scenes
from .scenes import COLOURS, DIGITS, PATTERNS

COUNTS = (1, 2, 3, 4, 5, 6)
FRAMES, SHOWN = 16, 8
# Training clips of a digit and count, validation scenes of a digit; 4 and 7 make 240 + 420 clips.
SIZES = dict(full=(4, 7), small=(1, 1))
RECIPE_VERSION = 1  # raise it when another picture would come out


def plan(split: str, size: str) -> Iterator[tuple[str, int, int, int]]:
    """File name, digit, copy and count of every clip, in the order of the lists.

    Digits and counts form a full product, so neither says anything about the other.
    """
    train, val = SIZES[size]
    for digit in range(10):
        for copy in range(train if split == 'train' else val):
            for count in COUNTS:
                yield f'{split}/{DIGITS[digit]}_{copy}_{count}.mp4', digit, copy, count


def parts(total: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """``number`` random lengths of at least 1 that add up to ``total``, all alike probable."""
    ends = np.sort(rng.choice(np.arange(1, total), number - 1, replace=False))
    return np.diff(ends, prepend=0, append=total)


def timing(count: int, rng: np.random.Generator) -> np.ndarray:
    """When the digit is there, (16,) of 0 and 1; never in the first or the last frame."""
    lengths = np.empty(2 * count + 1, int)
    lengths[::2] = parts(FRAMES - SHOWN, count + 1, rng)
    lengths[1::2] = parts(SHOWN, count, rng)
    return np.repeat(np.arange(len(lengths)) % 2, lengths)


def pictures(originals: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    """A scene without and with its digit, noise and all, (2, 32, 32, 3) uint8 RGB."""
    rng = np.random.default_rng(key)
    glyph = originals[rng.integers(len(originals))]
    empty = scenes.ground(str(rng.choice(list(COLOURS))), str(rng.choice(PATTERNS)))
    x, y = scenes.SIZE / 2 - 0.5 + rng.uniform(-4, 4, size=2)
    side, angle = scenes.SIZE * rng.uniform(0.5, 0.66), rng.uniform(-0.3, 0.3)
    pair = (empty, scenes.paint(empty, glyph, (x, y), side, angle))
    return np.stack([scenes.expose(p, np.random.default_rng((*key, 1))) for p in pair])


def film(originals: np.ndarray, scene: tuple[int, ...], count: int) -> np.ndarray:
    """Render a clip, (16, 32, 32, 3) uint8 RGB.

    Args:
        originals: handwriting of the digit, (n, 8, 8).
        scene: random key of the pictures; clips that share it are made of the same two.
        count: appearances.
    """
    return pictures(originals, scene)[timing(count, np.random.default_rng((*scene, 2, count)))]


def clips(split: str, size: str, seed: int) -> Iterator[tuple[str, filming.Film]]:
    """Name of every clip and what renders it; in validation six in a row share a scene."""
    glyphs = scenes.split_glyphs()[split]
    for name, digit, copy, count in plan(split, size):
        own = (0, digit, copy, count) if split == 'train' else (1, digit, copy)
        yield name, partial(film, glyphs[digit], (seed, 3, *own), count)


def write_lists(root: Path, size: str) -> None:
    """Lists ``path label``; label 0 is one appearance."""
    for split in filming.SPLITS:
        lines = [f'{name} {COUNTS.index(count)}\n' for name, _, _, count in plan(split, size)]
        filming.write_text(root / f'{split}_counting.txt', ''.join(lines))
    filming.write_text(root / 'counting_labels.txt', ''.join(f'{count}\n' for count in COUNTS))


def bag(path: Path) -> Counter[bytes]:
    """The decoded frames of a file, without their order."""
    return Counter(frame.tobytes() for frame in filming.read_video(path))


def count_unequal_scenes(root: Path, size: str) -> int:
    """Validation scenes whose six clips do not decode to the same frames; 0 is right."""
    bags = [bag(root / 'videos' / name) for name, *_ in plan('val', size)]
    each = len(COUNTS)
    six = (bags[i : i + each] for i in range(0, len(bags), each))
    return sum(any(one != scene[0] for one in scene) for scene in six)


def check(root: Path, size: str) -> str:
    """That the bound of 16.7 % holds on the files.

    Raises:
        RuntimeError: if the clips of a scene do not decode to the same frames.
    """
    if unequal := count_unequal_scenes(root, size):
        raise RuntimeError(
            f'blinking_digits: in {unequal} validation scenes the six clips decode to different '
            'frames, so the bound of 16.7 % would not hold. Delete the folder, and check that '
            'PyAV brings libx264.'
        )
    return 'the six clips of every validation scene decode to the same frames'


def prepare(root: str | Path, size: str = 'full', seed: int = 0) -> bool:
    """Make what is missing below ``root``; returns whether anything was.

    Raises:
        RuntimeError: if the clips of a scene do not decode to the same frames.
    """
    root = Path(root)
    recipe = dict(name='blinking_digits', version=RECIPE_VERSION, size=size, seed=seed)
    return filming.make(
        root,
        recipe,
        lambda split: clips(split, size, seed),
        partial(check, root, size),
        partial(write_lists, root, size),
    )
