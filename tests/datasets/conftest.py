"""Videos whose frames carry their number, written into a test's own folder."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mmstadapter.commands.prepare import main

PAGES = Path(__file__).parents[2] / 'tools' / 'data'
QUIET = 'log-level=error'
CLOSED = {'x264-params': f'keyint=12:scenecut=0:bframes=3:b-adapt=0:{QUIET}'}
OPEN = {'x264-params': f'keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=1:{QUIET}'}
REFRESH = {'x264-params': f'keyint=24:intra-refresh=1:bframes=0:{QUIET}'}
LONG = {'x264-params': f'keyint=1000:scenecut=0:bframes=8:b-pyramid=normal:{QUIET}'}


@pytest.fixture(autouse=True)
def ordinary_priority():
    """SVT-AV1 makes root's encoding thread a real-time one, beside which others get no time."""
    yield
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def picture(number: int, height: int, width: int) -> np.ndarray:
    """The 8 bits of a number as light and dark blocks, two rows of four."""
    bits = (number >> np.arange(8)) & 1
    blocks = np.where(bits, 220, 35).reshape(2, 4)
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 4 // width
    return np.repeat(blocks[rows][:, columns, None], 3, axis=2).astype(np.uint8)


def number_of(frame: np.ndarray) -> int:
    """The number that a decoded frame shows."""
    height, width = frame.shape[:2]
    y, x = (np.arange(2) * 2 + 1) * height // 4, (np.arange(4) * 2 + 1) * width // 8
    return int(((frame[y][:, x, 1] > 128).ravel() << np.arange(8)).sum())


def write_video(
    path: Path,
    frames: int = 40,
    size: tuple[int, int] = (64, 96),
    codec: str = 'libx264',
    options: dict | None = None,
    pix_fmt: str = 'yuv420p',
    max_b_frames: int | None = None,
    container_options: dict | None = None,
    noise: float = 0.0,
) -> Path:
    """Write numbered frames at 25 a second; noise (in grey levels) makes the file larger."""
    rng = np.random.default_rng(0)
    with av.open(str(path), 'w', options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.options = options or ({'x264-params': QUIET} if codec == 'libx264' else {})
        if max_b_frames is not None:
            stream.codec_context.max_b_frames = max_b_frames
        for number in range(frames):
            image = picture(number, *size) + rng.uniform(-noise, noise, (*size, 1))
            frame = av.VideoFrame.from_ndarray(image.round().astype(np.uint8), 'rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    """One second of silence, no pictures."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), 'fltp', 'mono')
        silence.sample_rate = 16000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return path


def copy_from(source: Path, target: Path, first: int) -> Path:
    """Cut a file without encoding, as ``ffmpeg -ss -c copy``: an edit list hides the start."""
    with av.open(str(source)) as old, av.open(str(target), 'w') as new:
        stream = old.streams.video[0]
        packets = [packet for packet in old.demux(stream) if packet.dts is not None]
        copy = new.add_stream_from_template(stream)
        zero = round(first / 25 / stream.time_base)
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= zero]
        for packet in packets[keys[-1] :]:
            packet.pts -= zero
            packet.dts -= zero
            packet.stream = copy
            new.mux(packet)
    return target


def rotate_header(source: Path, target: Path, degrees: int) -> Path:
    """Note in an mp4's header that players must turn the picture clockwise."""
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    upright = struct.pack('>9i', 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack('>9i', a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    content = source.read_bytes()
    at = content.index(upright, content.index(b'tkhd'))
    target.write_bytes(content[:at] + turned + content[at + len(turned) :])
    return target


def cut_short(source: Path, target: Path, share: float = 0.6) -> Path:
    """The first part of a file."""
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


def flip_bits(source: Path, target: Path, seed: int = 0) -> Path:
    """Forty wrong bits in the middle of a file."""
    content = bytearray(source.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(len(content) // 5, len(content) * 4 // 5, 40):
        content[at] ^= 1 << int(rng.integers(8))
    target.write_bytes(content)
    return target


@pytest.fixture
def video(tmp_path) -> Callable[..., Path]:
    """``video(name, ...)`` writes a numbered video of that name."""
    return lambda name='video.mp4', **options: write_video(tmp_path / name, **options)


def write_frames(
    folder: Path,
    frames: int = 12,
    size: tuple[int, int] = (48, 64),
    template: str = '{:05}.jpg',
    first: int = 1,
) -> Path:
    """Write images that show their index from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        Image.fromarray(picture(number, *size)).save(folder / template.format(first + number))
    return folder


def touch(root: Path, *paths: str) -> None:
    """Write files that are there and nothing else."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b'x')


@pytest.fixture
def prepare(tmp_path, capsys):
    """Runs the command on ``tmp_path``; gives its exit status and all it said."""

    def run(name: str, *arguments: str) -> tuple[int, str]:
        end: str | int | None = 0
        try:
            main([name, '--root', str(tmp_path), *map(str, arguments)])
        except SystemExit as error:
            end = error.code
        said = capsys.readouterr()
        is_text = isinstance(end, str)  # which Python prints, with status 1
        return 1 if is_text else end or 0, f'{said.out}{said.err}{end if is_text else ""}'

    return run
