"""Make the moving-digits data set: real H.264 files and their lists, offline, in seconds.

    mmstadapter prepare moving_digits                  # 800 + 400 clips, 15 MB
    mmstadapter prepare moving_digits --size small     # 80 + 80 clips, for trials

A file appears under its name only when it is whole, and the lists only when all
clips are there, so a run that was stopped is continued by starting it again.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from . import filming, scenes
from .filming import read_video, write_text
from .scenes import COLOURS, DIGITS, MOTIONS, PAIRS, Scene

SIZES = dict(full=(tuple(COLOURS), 2), small=(('grey',), 1))  # colours, training clips of a kind
RECIPE_VERSION = 1  # raise it when another picture would come out


def plan(split: str, size: str) -> Iterator[tuple[str, Scene, tuple[int, ...]]]:
    """File name, scene and random key of every clip, in the order of the lists.

    Training clips are independent of each other. In validation the two directions
    of a pair have one key and hence the same frames, which makes 50 % the exact
    bound of every method that does not look at their order.
    """
    colours, copies = SIZES[size]
    for digit in range(10):
        for c, colour in enumerate(colours):
            for m, motion in enumerate(MOTIONS):
                scene, name = Scene(digit, colour, motion), f'{DIGITS[digit]}_{colour}_{motion}'
                if split == 'val':
                    yield f'val/{name}.mp4', scene, (1, digit, c, scene.pair)
                    continue
                for copy in range(copies):
                    yield f'train/{name}_{copy}.mp4', scene, (0, digit, c, m, copy)


def film(scene: Scene, originals: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
    """Render a clip with one of a digit's originals, (24, 32, 32, 3) uint8 RGB."""
    rng = np.random.default_rng(key)
    return scenes.film(scene, originals[rng.integers(len(originals))], rng)


def clips(split: str, size: str, seed: int) -> Iterator[tuple[str, filming.Film]]:
    """Name of every clip and what renders it."""
    glyphs = scenes.split_glyphs()[split]
    for name, scene, key in plan(split, size):
        yield name, partial(film, scene, glyphs[scene.digit], (seed, *key))


def write_lists(root: Path, size: str) -> None:
    """Lists ``path label`` for both tasks, and the captions as MMAction2 reads them."""
    for split in filming.SPLITS:
        found = [(name, scene) for name, scene, _ in plan(split, size)]
        for task, label in (
            ('motion', lambda s: MOTIONS.index(s.motion)),
            ('digit', lambda s: s.digit),
        ):
            lines = [f'{name} {label(scene)}\n' for name, scene in found]
            write_text(root / f'{split}_{task}.txt', ''.join(lines))
        captions = {name: [scene.caption] for name, scene in found}
        write_text(root / f'{split}_captions.json', json.dumps(captions, indent=0))
    write_text(root / 'motion_labels.txt', ''.join(f'{motion}\n' for motion in MOTIONS))
    write_text(root / 'digit_labels.txt', ''.join(f'{digit}\n' for digit in DIGITS))


def few_shots(root: str | Path, shots: int, seed: int) -> str:
    """Write the list of a few training clips of each motion; returns its name.

    Args:
        root: the data set's folder.
        shots: clips of each motion.
        seed: of the draw; every seed draws other clips.
    """
    lines = (Path(root) / 'train_motion.txt').read_text().splitlines(keepends=True)
    of_motion = [[line for line in lines if line.endswith(f' {m}\n')] for m in range(len(MOTIONS))]
    rng = np.random.default_rng((seed, 2, shots))
    drawn = [sorted(rng.choice(clips, shots, replace=False)) for clips in of_motion]
    name = f'train_motion_{shots}-shot_{seed}.txt'
    write_text(Path(root) / name, ''.join(line for part in drawn for line in part))
    return name


def count_unequal_pairs(root: Path) -> int:
    """Validation scenes whose two directions do not decode to the same frames; 0 is right."""
    folder, unequal = root / 'videos' / 'val', 0
    for first, second in PAIRS:
        for path in sorted(folder.glob(f'*_{first}.mp4')):
            twin = path.with_name(path.name.replace(f'_{first}.', f'_{second}.'))
            unequal += not np.array_equal(read_video(path), read_video(twin)[::-1])
    return unequal


def check(root: Path) -> str:
    """That the bound of 50 % holds on the files.

    Raises:
        RuntimeError: if the two directions of a scene do not decode alike.
    """
    if unequal := count_unequal_pairs(root):
        raise RuntimeError(
            f'moving_digits: {unequal} validation scenes decode to other frames backwards than '
            'forwards, so the bound of 50 % would not hold. Delete the folder, and check that '
            'PyAV brings libx264.'
        )
    return 'every validation scene decodes to the same frames in both directions'


def prepare(root: str | Path, size: str = 'full', seed: int = 0) -> bool:
    """Make what is missing below ``root``; returns whether anything was.

    Raises:
        RuntimeError: if the two directions of a scene do not decode alike.
    """
    root = Path(root)
    recipe = dict(name='moving_digits', version=RECIPE_VERSION, size=size, seed=seed)
    return filming.make(
        root,
        recipe,
        lambda split: clips(split, size, seed),
        partial(check, root),
        partial(write_lists, root, size),
    )
