"""How a data set that makes itself is made: real H.264 files, then its lists, in seconds.

A file appears under its name only when it is whole, and the lists only when all clips are
there and checked, so a run that was stopped is continued by starting it again.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..datasets.readers import open_video

SPLITS = ('train', 'val')
Film = Callable[[], np.ndarray]  # renders (T, H, W, 3) uint8 RGB


def write_video(path: Path, clip: np.ndarray) -> None:
    """Encode (T, H, W, 3) uint8 RGB as one second of H.264, whole or not at all.

    Every frame is a key frame with the same quantiser, so that equal pictures stay equal.
    Prediction between frames or rate control would make a frame depend on its neighbours, and
    a clip and its reverse would differ by up to 62 grey levels.
    """
    part = path.with_suffix('.part')
    with av.open(str(part), 'w', format='mp4') as container:
        options = dict(qp='18', g='1', threads='1')
        stream = container.add_stream('libx264', rate=Fraction(len(clip)), options=options)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        for picture in clip:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    os.replace(part, path)


def read_video(path: Path) -> np.ndarray:
    """All frames, (T, H, W, 3) uint8 RGB."""
    video = open_video(str(path))
    return np.stack(video.read(range(len(video))))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    part = path.with_name(path.name + '.part')
    part.write_text(text)
    os.replace(part, path)


def make_videos(root: Path, split: str, clips: Iterable[tuple[str, Film]]) -> tuple[int, int]:
    """Film the clips of a split that are not there yet; returns (made, there in all)."""
    (root / 'videos' / split).mkdir(parents=True, exist_ok=True)
    made = total = 0
    for name, film in clips:
        total += 1
        if not (root / 'videos' / name).exists():
            write_video(root / 'videos' / name, film())
            made += 1
    return made, total


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


def make(
    root: Path,
    recipe: dict,
    clips: Callable[[str], Iterable[tuple[str, Film]]],
    check: Callable[[], str],
    write_lists: Callable[[], None],
) -> bool:
    """Make what is missing below ``root``; returns whether anything was.

    Args:
        root: the data set's folder.
        recipe: name, version and settings, as they are to stand in recipe.json.
        clips: split -> names below videos/, and what renders each.
        check: reads the finished files, raises RuntimeError if they are not as promised, and
            returns what was checked.
        write_lists: writes everything else.

    Raises:
        SystemExit: if the folder holds another data set.
    """
    start = time.perf_counter()
    was_complete = check_recipe(root, recipe)
    root.mkdir(parents=True, exist_ok=True)
    if not was_complete:
        write_text(root / 'recipe.json', json.dumps(dict(recipe, complete=False)))
    counts = {split: make_videos(root, split, clips(split)) for split in SPLITS}
    made = sum(new for new, _ in counts.values())
    told = ', '.join(f'{total} {split}' for split, (_, total) in counts.items())
    if was_complete and not made:
        print(f'{root}: complete ({told} clips), nothing to do')
        return False
    checked = check()
    write_lists()
    write_text(root / 'recipe.json', json.dumps(dict(recipe, complete=True)))
    megabytes = sum(p.stat().st_size for p in root.glob('videos/*/*.mp4')) / 1e6
    took = time.perf_counter() - start
    print(f'{root}: {told} clips, {megabytes:.1f} MB; {made} made now, in {took:.1f} s')
    print(f'checked: {checked}')
    return True
