"""Damaged videos: is what is read the right frames, or a sentence?

Each case injures one of a few small videos and reads it twice: as it is, and where
`mmstadapter check` saw it whole.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.logging import ERROR, Capture, set_level
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from mmstadapter import VideoReadError, open_video
from mmstadapter.apis.looking import look
from mmstadapter.datasets.checked import NAME

from .outcome import Outcome, of_error, trying

FRAMES, SIZE, RATE = 40, (144, 176), 25
X264 = {'x264-params': 'keyint=10:bframes=2:log-level=error'}
X265 = {'x265-params': 'keyint=10:bframes=2:log-level=error:pools=none:frame-threads=1'}
SOURCES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ('mp4', 'libx264', X264),
    ('mkv', 'libx264', X264),
    ('mov', 'libx264', X264),
    ('ts', 'libx264', X264),
    ('flv', 'libx264', X264),
    ('mp4', 'libx265', X265),
    ('mkv', 'libx265', X265),
    ('mp4', 'mpeg4', dict(g='10', bf='2')),
    ('avi', 'mpeg4', dict(g='10')),
    ('webm', 'libvpx', dict(g='10')),
    ('webm', 'libvpx-vp9', dict(g='10', cpu_used='8')),
    ('mp4', 'libsvtav1', dict(preset='12', g='10')),
    ('mkv', 'libsvtav1', dict(preset='12', g='10')),
    ('mpg', 'mpeg2video', dict(g='10', bf='2')),
    ('mpg', 'mpeg1video', dict(g='10')),
    ('ts', 'mpeg2video', dict(g='10')),
    ('wmv', 'wmv2', dict(g='10')),
    ('flv', 'flv', dict(g='10')),
    ('avi', 'mjpeg', {}),
    ('3gp', 'h263', dict(g='10')),
    ('mkv', 'ffv1', {}),
    ('gif', 'gif', {}),
)  # fmt: skip
STEPS = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=8, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
]
Random = np.random.Generator


def picture(number: int) -> np.ndarray:
    """A textured square that moves over a textured ground, another for each number."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 180, (*SIZE, 3), np.uint8)
    square = rng.integers(100, 255, (40, 40, 3), np.uint8)
    at = 3 * number % (SIZE[1] - 40)
    ground[50:90, at : at + 40] = square
    ground[:20] = 6 * number
    return ground


def prepare(work: Path) -> None:
    """Write the videos, their frames as they decode, and their entries in a table."""
    for number, (suffix, codec, options) in enumerate(SOURCES):
        folder = work / f'source-{number}'
        folder.mkdir(parents=True)
        path = folder / f'clip.{suffix}'
        with av.open(str(path), 'w') as container:
            stream: Any = container.add_stream(codec, rate=RATE)
            stream.height, stream.width = SIZE
            formats = dict(gif='rgb8', mjpeg='yuvj420p')
            stream.pix_fmt = formats.get(codec, 'yuv420p')
            stream.options = options
            for index in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(picture(index), 'rgb24')
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        # SVT-AV1 makes root's encoding thread a real-time one, beside which others get no time.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        reader = open_video(str(path))
        np.save(folder / 'frames.npy', np.stack(reader.read(range(len(reader)))))
        (folder / NAME).write_text(look(str(path), path.name).line())


def flip_bit(content: bytearray, rng: Random) -> None:
    """One bit."""
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))


def flip_bits(content: bytearray, rng: Random) -> None:
    """Two to sixty-four bits."""
    for _ in range(int(rng.integers(2, 65))):
        flip_bit(content, rng)


def cut(content: bytearray, rng: Random) -> None:
    """The end is missing."""
    del content[int(len(content) * rng.uniform(0.02, 0.999)) :]


def zero(content: bytearray, rng: Random) -> None:
    """A stretch of zeros, as of sectors that a disk lost."""
    first, last = stretch(content, rng)
    content[first:last] = bytes(last - first)


def remove(content: bytearray, rng: Random) -> None:
    """A stretch is missing."""
    first, last = stretch(content, rng)
    del content[first:last]


def repeat(content: bytearray, rng: Random) -> None:
    """A stretch comes twice."""
    first, last = stretch(content, rng)
    content[last:last] = content[first:last]


def swap(content: bytearray, rng: Random) -> None:
    """Two stretches have changed places."""
    first, last = stretch(content, rng)
    other = int(rng.integers(0, len(content) - (last - first)))
    size = last - first
    if abs(other - first) >= size:
        here, there = content[first:last], content[other : other + size]
        content[first:last], content[other : other + size] = there, here
    else:
        flip_bits(content, rng)


def noise(content: bytearray, rng: Random) -> None:
    """A stretch of another file."""
    first, last = stretch(content, rng)
    content[first:last] = rng.integers(0, 256, last - first, np.uint8).tobytes()


def header(content: bytearray, rng: Random) -> None:
    """One to three bytes of the header are others: it lies about counts, times, sizes."""
    at = content.rfind(b'moov')
    first, last = (at, len(content)) if at > 0 else (0, min(600, len(content)))
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(first, last))] = int(rng.integers(256))


def stretch(content: bytearray, rng: Random) -> tuple[int, int]:
    """From and to of 16 bytes to a fifth of the file."""
    size = int(np.exp(rng.uniform(np.log(16), np.log(max(20, len(content) / 5)))))
    first = int(rng.integers(0, max(1, len(content) - size)))
    return first, min(len(content), first + size)


INJURIES: tuple[Callable[[bytearray, Random], None], ...] = (
    flip_bit, flip_bits, cut, zero, remove, repeat, swap, noise, header,
)  # fmt: skip


@cache
def _steps() -> Compose:
    init_default_scope('mmaction')
    return Compose(STEPS)


def case(seed: int, work: Path, number: int, folder: Path) -> Outcome:
    """One injury to one video, read with and without a table."""
    rng = np.random.default_rng([seed, number])
    source = work / f'source-{number % len(SOURCES)}'
    suffix, codec, _ = SOURCES[number % len(SOURCES)]
    injure = INJURIES[int(rng.integers(len(INJURIES)))]
    tried = trying(f'{codec} in {suffix}: {injure.__name__}')
    whole = (source / f'clip.{suffix}').read_bytes()
    content = bytearray(whole)
    injure(content, rng)
    plain, checked = folder / f'clip.{suffix}', folder / 'checked' / f'clip.{suffix}'
    checked.parent.mkdir()
    for path in (plain, checked):
        path.write_bytes(content)
    (checked.parent / NAME).write_bytes((source / NAME).read_bytes())
    compared = read_checked(checked, bytes(content) == whole, tried)
    return compared if compared.kind != 'refused' else read_plain(plain, source, tried)


def read_checked(path: Path, same: bool, tried: str) -> Outcome:
    """A file in a table must be refused when a byte of it is another."""
    try:
        _steps()(dict(filename=str(path), start_index=0))
    except VideoReadError as error:
        return Outcome('refused', tried, error.reason)
    except Exception as error:
        return of_error(error, tried)
    return Outcome('right' if same else 'silent', tried, 'read although the table has another')


def read_plain(path: Path, source: Path, tried: str) -> Outcome:
    """Compare what is read with the frames before the injury."""
    frames = np.load(source / 'frames.npy')
    try:
        sample = _steps()(dict(filename=str(path), start_index=0))
        wrong = not _are(sample['imgs'], frames, np.ravel(sample['frame_inds']))
        reader = open_video(str(path))
        count = len(reader)
        wrong |= count != len(frames) or not _are(reader.read(range(count)), frames, range(count))
    except VideoReadError as error:
        return Outcome('refused', tried, error.reason)
    except Exception as error:
        return of_error(error, tried)
    if not wrong:
        return Outcome('right', tried)
    told = signs(str(path))
    said = f'{count} frames of {len(frames)}, ' + ('; '.join(told) or 'no sign of damage')
    return Outcome('silent' if told else 'unseen', tried, said[:400])


def _are(images, frames: np.ndarray, indices) -> bool:
    return all(
        index < len(frames) and np.array_equal(image, frames[index])
        for image, index in zip(images, indices, strict=True)
    )


def signs(path: str) -> list[str]:
    """What FFmpeg tells of damage when it decodes all, in words of its own."""
    set_level(ERROR)
    told: list[str] = []
    with Capture(local=True) as lines:
        try:
            with av.open(path) as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1  # or VP8 tells now and then what it does not
                for packet in container.demux(stream):
                    told += ['a packet is corrupt'] if packet.is_corrupt else []
                    broken = any(frame.is_corrupt for frame in packet.decode())
                    told += ['a frame is corrupt'] if broken else []
        except (av.FFmpegError, IndexError) as error:
            told.append(str(error))
    told += [message.strip() for level, _, message in lines if level <= ERROR]
    return list(dict.fromkeys([*told, *_fewer_than_stated(path)]))


def _fewer_than_stated(path: str) -> list[str]:
    """What an mp4's or avi's header counts, where less is there; edit lists may hide frames."""
    try:
        with av.open(path, options=dict(ignore_editlist='1')) as container:
            stated = container.streams.video[0].frames
            there = sum(packet.size > 0 for packet in container.demux(video=0))
            counted = container.format.name[:3] in ('mov', 'avi')
            return [f'the header states {stated} frames'] if counted and stated > there else []
    except (av.FFmpegError, IndexError) as error:
        return [str(error)]
