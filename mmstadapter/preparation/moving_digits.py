"""Make the moving-digits data set: real H.264 files and their lists, offline, in seconds.

    mmstadapter prepare moving_digits                  # 800 + 400 clips, 15 MB
    mmstadapter prepare moving_digits --size small     # 80 + 80 clips, for trials

A file appears under its name only when it is whole, and the lists only when all
clips are there, so a run that was stopped is continued by starting it again.
"""

import json
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from . import scenes
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


def write_video(path: Path, clip: np.ndarray) -> None:
    """Encode (T, H, W, 3) uint8 RGB as H.264, whole or not at all.

    Every frame is a key frame with the same quantiser. Prediction between frames
    or rate control would make a frame depend on its neighbours, and a clip and its
    reverse would differ by up to 62 grey levels.
    """
    part = path.with_suffix('.part')
    with av.open(str(part), 'w', format='mp4') as container:
        options = dict(qp='18', g='1', threads='1')
        stream = container.add_stream('libx264', rate=Fraction(scenes.FRAMES), options=options)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        for picture in clip:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    os.replace(part, path)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    part = path.with_name(path.name + '.part')
    part.write_text(text)
    os.replace(part, path)


def make_videos(root: Path, split: str, size: str, seed: int) -> tuple[int, int]:
    """Film the clips of a split that are not there yet; returns (made, there in all)."""
    glyphs = scenes.split_glyphs()[split]
    (root / 'videos' / split).mkdir(parents=True, exist_ok=True)
    made = total = 0
    for name, scene, key in plan(split, size):
        total += 1
        path = root / 'videos' / name
        if path.exists():
            continue
        rng = np.random.default_rng((seed, *key))
        originals = glyphs[scene.digit]
        write_video(path, scenes.film(scene, originals[rng.integers(len(originals))], rng))
        made += 1
    return made, total


def write_lists(root: Path, split: str, size: str) -> None:
    """Lists ``path label`` for both tasks, and the captions as MMAction2 reads them."""
    clips = [(name, scene) for name, scene, _ in plan(split, size)]
    for task, label in (
        ('motion', lambda s: MOTIONS.index(s.motion)),
        ('digit', lambda s: s.digit),
    ):
        lines = [f'{name} {label(scene)}\n' for name, scene in clips]
        write_text(root / f'{split}_{task}.txt', ''.join(lines))
    captions = {name: [scene.caption] for name, scene in clips}
    write_text(root / f'{split}_captions.json', json.dumps(captions, indent=0))


def read_video(path: Path) -> np.ndarray:
    """All frames as decord decodes them, (T, H, W, 3) uint8 RGB."""
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    return reader.get_batch(range(len(reader))).asnumpy()


def count_unequal_pairs(root: Path) -> int:
    """Validation scenes whose two directions do not decode to the same frames; 0 is right."""
    folder, unequal = root / 'videos' / 'val', 0
    for first, second in PAIRS:
        for path in sorted(folder.glob(f'*_{first}.mp4')):
            twin = path.with_name(path.name.replace(f'_{first}.', f'_{second}.'))
            unequal += not np.array_equal(read_video(path), read_video(twin)[::-1])
    return unequal


def check_recipe(root: Path, recipe: dict) -> bool:
    """Whether the folder holds this very data set in full.

    Raises:
        SystemExit: if it holds another one.
    """
    file = root / 'recipe.json'
    if not file.exists():
        return False
    there = json.loads(file.read_text())
    complete = there.pop('complete')
    if there != recipe:
        raise SystemExit(
            f'{root} holds another data set: {there} instead of {recipe}. '
            'Delete the folder or name another one with --root.'
        )
    return complete


def prepare(root: str | Path, size: str = 'full', seed: int = 0) -> bool:
    """Make what is missing below ``root``; returns whether anything was.

    Raises:
        RuntimeError: if the two directions of a scene do not decode alike.
    """
    root = Path(root)
    start = time.perf_counter()
    recipe = dict(name='moving_digits', version=RECIPE_VERSION, size=size, seed=seed)
    was_complete = check_recipe(root, recipe)
    root.mkdir(parents=True, exist_ok=True)
    if not was_complete:
        write_text(root / 'recipe.json', json.dumps(dict(recipe, complete=False)))
    counts = {split: make_videos(root, split, size, seed) for split in ('train', 'val')}
    made = sum(new for new, _ in counts.values())
    told = ', '.join(f'{total} {split}' for split, (_, total) in counts.items())
    if was_complete and not made:
        print(f'{root}: complete ({told} clips), nothing to do')
        return False
    if unequal := count_unequal_pairs(root):
        raise RuntimeError(
            f'moving_digits: {unequal} validation scenes decode to other frames backwards than '
            'forwards, so the bound of 50 % would not hold. Delete the folder, and check that '
            'PyAV brings libx264.'
        )
    for split in counts:
        write_lists(root, split, size)
    write_text(root / 'motion_labels.txt', ''.join(f'{motion}\n' for motion in MOTIONS))
    write_text(root / 'digit_labels.txt', ''.join(f'{digit}\n' for digit in DIGITS))
    write_text(root / 'recipe.json', json.dumps(dict(recipe, complete=True)))
    megabytes = sum(p.stat().st_size for p in root.glob('videos/*/*.mp4')) / 1e6
    took = time.perf_counter() - start
    print(f'{root}: {told} clips, {megabytes:.1f} MB; {made} made now, in {took:.1f} s')
    print('checked: every validation scene decodes to the same frames in both directions')
    return True
