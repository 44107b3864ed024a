"""Time to read 8 frames of a video: our readers beside MMAction2's decord steps.

Writes Markdown. Without arguments it makes its own videos: moving texture, 340x256, as
Kinetics is often stored, 10 seconds and 3 minutes, key frames at most 250 apart.

    OMP_NUM_THREADS=1 python benchmarks/decode.py [VIDEO ...] > benchmarks/decode_<machine>.md
"""

import datetime
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import TRANSFORMS
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401  (registers the steps)
from mmstadapter.datasets.packets import examine
from mmstadapter.datasets.spatial import resize

ROUNDS = 9
READERS: dict[str, tuple[dict, dict]] = {
    'MMAction2, decord': (dict(type='DecordInit'), dict(type='DecordDecode')),
    **{
        f"ours, reader='{name}'": (
            dict(type='mmstadapter.VideoInit', reader=name),
            dict(type='mmstadapter.VideoDecode'),
        )
        for name in ('decord', 'auto', 'pyav')
    },
}
SAMPLES = {
    'segments': dict(type='mmstadapter.SampleSegments', clip_len=8, test_mode=True),
    'stride 16': dict(
        type='mmstadapter.SampleStride', clip_len=8, frame_interval=16, test_mode=True
    ),
}


def write_texture(path: Path, seconds: int, key_frames: int = 250) -> Path:
    """Smooth noise that drifts, 30 frames a second, libx264 with its defaults."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 256, (40, 60, 3), np.uint8), (1000, 800))
    texture = cv2.add(texture, rng.integers(0, 12, texture.shape, np.uint8))
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=30)
        stream.width, stream.height, stream.pix_fmt = 340, 256, 'yuv420p'
        stream.options = {'x264-params': f'log-level=error:keyint={key_frames}'}
        for number in range(30 * seconds):
            x = int(300 + 280 * np.sin(number / 40))
            y = int(250 + 240 * np.sin(number / 70))
            image = np.ascontiguousarray(texture[y : y + 256, x : x + 340])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return path


def medians(functions: dict[str, Callable]) -> dict[str, float]:
    """Median CPU milliseconds of each over all threads, in interleaved rounds."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def reading(path: Path, sample: dict) -> dict[str, float]:
    """Milliseconds by reader, and of the packets alone."""
    functions: dict[str, Callable] = {'packets alone': lambda: examine(str(path), str(path))}
    for name, (init, decode) in READERS.items():
        steps = [TRANSFORMS.build(step) for step in (init, sample, decode)]

        def read(steps=steps):
            results = dict(filename=str(path), start_index=0)
            for step in steps:
                results = step(results)

        functions[name] = read
    return medians(functions)


def resizing() -> dict[str, dict[str, float]]:
    """Milliseconds for 8 frames, bicubic in float32, by sizes."""
    rows = {}
    for (height, width), target in (((256, 340), (224, 297)), ((720, 1280), (224, 398))):
        frames = np.random.default_rng(0).integers(0, 256, (8, height, width, 3), np.uint8)
        tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)

        def ours(frames=frames, target=target):
            return [resize(frame, *target) for frame in frames]

        def theirs(tensor=tensor, target=target):
            return F.interpolate(tensor.float(), size=target, mode='bicubic', align_corners=False)

        rows[f'{width}x{height} to {target[1]}x{target[0]}'] = medians(
            {'OpenCV (ours)': ours, 'PyTorch (released)': theirs}
        )
    return rows


def table(first: str, rows: dict[str, dict[str, float]]) -> str:
    """Milliseconds as a Markdown table."""
    columns = list(next(iter(rows.values())))
    lines = [f'| {first} | ' + ' | '.join(columns) + ' |', '|---' * (len(columns) + 1) + '|']
    for name, values in rows.items():
        lines.append(f'| {name} | ' + ' | '.join(f'{values[c]:.1f}' for c in columns) + ' |')
    return '\n'.join(lines)


def main() -> None:
    """Print the report."""
    init_default_scope('mmaction')
    logging.disable(logging.WARNING)  # MMAction2's steps use deprecated file clients
    cv2.setNumThreads(1)
    versions = f'torch {torch.__version__}, av {av.__version__}, opencv {cv2.__version__}'
    print('# Reading 8 frames of a video: median CPU milliseconds\n')
    print(
        f'{platform.machine()}, {torch.get_num_threads()} thread(s), {versions}, '
        f'{datetime.date.today()}; `python benchmarks/decode.py`\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(name) for name in sys.argv[1:]] or [
            write_texture(Path(folder) / f'{seconds}_seconds.mp4', seconds) for seconds in (10, 180)
        ]
        rows = {
            f'{path.name}, {name}': reading(path, sample)
            for path in paths
            for name, sample in SAMPLES.items()
        }
    print(table('video, frames', rows))
    print('\n# Resizing 8 frames, bicubic, float32: median CPU milliseconds\n')
    print(table('sizes', resizing()))


if __name__ == '__main__':
    main()
