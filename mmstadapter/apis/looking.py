"""Read a whole video file or folder of images: checksums, and whether all of it decodes."""

import datetime
import hashlib
import os
import re
import zlib
from collections.abc import Iterator

import numpy as np

from ..datasets.checked import BLOCK, Entry, pack
from ..datasets.frame_folder import FrameFolder
from ..datasets.packets import VideoFacts, VideoReadError
from ..datasets.readers import open_video
from ..search.windows import frame_times

IMAGES = frozenset('.bmp .jpeg .jpg .png .tif .tiff .webp'.split())
NUMBERED = re.compile(r'(\D*)(\d+)(\D*)')
AT_ONCE = 16  # frames kept while decoding


def images_in(folder: str) -> list[str]:
    """The numbered images of a folder, in the order of their numbers; empty if there are none."""
    numbered = [
        (int(match[2]), entry.name)
        for entry in os.scandir(folder)
        if os.path.splitext(entry.name)[1].lower() in IMAGES
        and (match := NUMBERED.fullmatch(entry.name)) is not None
    ]
    return [name for _, name in sorted(numbered)]


def _files(path: str) -> list[str]:
    """The files that a video consists of."""
    if not os.path.isdir(path):
        return [path]
    return [os.path.join(path, name) for name in images_in(path)]


def stamp(path: str) -> tuple[int, int] | None:
    """Bytes, and when they last changed, of a file or of a folder's images; None if gone."""
    try:
        states = [os.stat(file) for file in _files(path)]
    except OSError:
        return None
    if not states:
        return None
    return sum(s.st_size for s in states), max(s.st_mtime_ns for s in states)


def checksums(path: str) -> tuple[str, str]:
    """SHA-256 of all bytes; CRC-32 of each block of a file, or of each image of a folder."""
    whole, sums = hashlib.sha256(), []
    for content in _contents(path):
        whole.update(content)
        sums.append(zlib.crc32(content))
    return whole.hexdigest(), pack(sums)


def _contents(path: str) -> Iterator[bytes]:
    if os.path.isdir(path):
        for name in _files(path):
            with open(name, 'rb') as file:
                yield file.read()
    else:
        with open(path, 'rb') as file:
            yield from iter(lambda: file.read(BLOCK), b'')


def look(path: str, name: str) -> Entry:
    """The entry of a video, after decoding all of it.

    Args:
        path: the file or folder.
        name: how the table calls it.
    """
    size, mtime_ns = stamp(path) or (0, 0)
    is_folder = os.path.isdir(path)
    frames, seconds, sha256, crc32 = 0, 0.0, '', ''
    try:
        sha256, crc32 = checksums(path)
        frames, seconds = _decode_images(path) if is_folder else _decode(path)
        wrong = '' if stamp(path) == (size, mtime_ns) else 'was written to while it was checked'
    except VideoReadError as error:
        wrong = error.reason
    except Exception as error:  # one file must not end the check of a hundred thousand
        wrong = f'cannot be read: {type(error).__name__}: {error}'
    today = datetime.date.today().isoformat()
    first = _number(images_in(path)[0]) if is_folder else None
    return Entry(name, size, mtime_ns, sha256, crc32, frames, seconds, wrong, today, first)


def _decode(path: str) -> tuple[int, float]:
    """Decode all frames; their number and the seconds they last."""
    reader = open_video(path)
    total = len(reader)
    times, end = frame_times(reader)
    for at in range(0, len(lasts := _lasts(reader.facts)), AT_ONCE):
        reader.read(lasts[at : at + AT_ONCE])
    return total, round(end - float(times[0]), 6)


def _lasts(facts: VideoFacts) -> list[int]:
    """The last frame of each stretch between places where decoding may start.

    To read these decodes every frame once. Nothing is left to do where frames can only be counted
    by decoding them all.
    """
    if facts.times is None:
        return []
    ends = np.searchsorted(facts.times, facts.starts[1:]) - 1
    return [*map(int, ends), len(facts.times) - 1]


def _decode_images(path: str) -> tuple[int, float]:
    names = images_in(path)
    before, number, after = NUMBERED.fullmatch(names[0]).groups()
    field = f'{{:0{len(number)}}}' if len(number) > 1 else '{}'
    template = before.replace('{', '{{').replace('}', '}}') + field + after
    folder = FrameFolder(path, template, int(number))
    if len(folder) != len(names):
        others = sorted(set(names) - {template.format(int(number) + i) for i in range(len(folder))})
        raise VideoReadError(path, f'has images of other names beside {names[0]}: {others[:3]}')
    for at in range(0, len(folder), AT_ONCE):
        folder.read(range(at, min(at + AT_ONCE, len(folder))))
    return len(folder), 0.0


def _number(name: str) -> int:
    match = NUMBERED.fullmatch(name)
    assert match is not None
    return int(match[2])
