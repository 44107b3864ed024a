"""What a stream costs a frame, beside clip mode: rate, latency, memory.

Random weights of B/16, 640x360 frames of noise. A result is timed from `push` of the frame that
completes a clip until its scores are there, preparing the frame included; clip mode prepares all
of a clip's frames and sends them through the model. Both take the recipe's three crops, and turns.

    python benchmarks/stream.py [--frames 2400] > benchmarks/stream_<machine>_<torch>.md
"""

import argparse
import datetime
import platform
import time
from collections.abc import Callable

import numpy as np
import torch

import mmstadapter
from mmstadapter import Stream

RECIPES = ('side4video_vit-b_k400', 'stadapter_vit-b_k400')
INTERVAL = 48  # so that some thousands of frames take minutes; a result costs the same at any
CLIPS = 8  # of clip mode, spread over the run
HEAD = (
    '| recipe | mode | results | wall, s: mean | median | p95 | processor, s: mean | results/s '
    '| RSS after the first, MB | at the end |\n|---|---|---|---|---|---|---|---|---|---|'
)


def resident() -> float:
    """Memory of this process that is in use, MB."""
    with open('/proc/self/status') as file:
        (line,) = [line for line in file if line.startswith('VmRSS')]
    return int(line.split()[1]) / 1024


def timed(function: Callable) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def measure(recipe: str, frames: int) -> list[str]:
    """Rows of the table: as a stream, and as clips."""
    model = mmstadapter.create_model(recipe, pretrained=False)
    stream = Stream(model, interval=INTERVAL)
    noise = np.random.default_rng(0).integers(0, 256, (16, 360, 640, 3), np.uint8)
    costs: dict[str, list[tuple[float, float]]] = {'stream': [], 'clip': []}
    memory = []
    for number in range(frames):
        if not stream.reads_next:
            stream.push(None)
            continue
        cost = timed(lambda frame=noise[number // INTERVAL % 16]: stream.push(frame))
        if number < stream.reach:
            continue
        memory.append(resident())
        costs['stream'].append(cost)
        if len(costs['stream']) % (frames // INTERVAL // CLIPS) == 0:
            costs['clip'].append(timed(lambda: whole(stream, noise[: stream.clip_frames])))
    kept = {'stream': (memory[0], memory[-1]), 'clip': None}
    return [row(recipe, mode, costs[mode][1:], kept[mode]) for mode in costs]


@torch.inference_mode()
def whole(stream: Stream, frames: np.ndarray) -> None:
    """Clip mode: prepare all frames, and the model on the clip."""
    crops = torch.stack([stream.model.prepare(frame) for frame in frames], dim=2)
    stream.model.head(stream.model.backbone(crops)).softmax(-1)


def row(recipe: str, mode: str, costs: list[tuple[float, float]], memory: tuple | None) -> str:
    """A line of the table; the first result, which warms up, is left out."""
    wall, processor = np.array(costs).T
    figures = f'{wall.mean():.2f} | {np.median(wall):.2f} | {np.quantile(wall, 0.95):.2f}'
    held = ' | '.join(f'{x:.0f}' for x in memory) if memory else ' | '
    rate = f'{processor.mean():.2f} | {1 / wall.mean():.2f}'
    return f'| {recipe} | {mode} | {len(costs)} | {figures} | {rate} | {held} |'


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=2400, help='pushed into each stream')
    args = parser.parse_args()
    print('# Streams beside clip mode\n')
    print(
        f'{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, '
        f'{datetime.date.today()}; `python benchmarks/stream.py`, {args.frames} frames pushed, '
        f'one of {INTERVAL} read.\n'
    )
    print(HEAD)
    for recipe in RECIPES:
        print('\n'.join(measure(recipe, args.frames)), flush=True)


if __name__ == '__main__':
    main()
