"""What `mmstadapter fit --cache-features` saves: whole commands with it and without.

Writes Markdown. Ten videos of 340x256 in two classes, CLIP ViT-B/16 with random weights, no GPU.
Every command checks the videos, trains, tests and writes an adapter file; a training of more
epochs tells what an epoch takes, and what is left is what comes once.

    python benchmarks/features.py [--methods side4video linear] > benchmarks/features_<...>.md
"""

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from decode import write_texture
from search_speed import Took, run, write_clip

CLASSES, VIDEOS, SECONDS = 2, 5, 4
# Without features and with: of as many epochs as clips are kept of a video, and of more.
EPOCHS = {False: (4, 8), True: (4, 40)}
SHOWN = (25, 100)
HEAD = (
    '| method | features | an epoch, s | once, s | '
    + ' | '.join(f'{n} epochs, min' for n in SHOWN)
    + ' | kept, MB a clip |\n|---|---|---|---|---|---|---|'
)


class Cost(NamedTuple):
    """Seconds of processor time of an epoch and of what comes once, and MB of a kept clip."""

    epoch: float
    once: float
    kept: float

    def minutes(self, epochs: int) -> float:
        """Processor minutes of a whole command."""
        return (self.once + epochs * self.epoch) / 60


def write_videos(folder: Path) -> Path:
    """A folder for each class; what is in a video costs nothing else."""
    texture = write_texture(folder / 'texture.mp4', SECONDS)
    for number in range(CLASSES * VIDEOS):
        to = folder / 'videos' / f'class_{number % CLASSES}' / f'{number}.mp4'
        to.parent.mkdir(parents=True, exist_ok=True)
        # a comment of its own: `fit` tells copies of one video
        subprocess.run(['cp', texture, to], check=True)
        with open(to, 'ab') as file:
            file.write(b'\0\0\0\x0cfree' + number.to_bytes(4, 'big'))
    return folder / 'videos'


def fit(folder: Path, method: str, features: bool, epochs: int) -> tuple[Took, float]:
    """A whole command, and MB of a clip that it kept."""
    work = folder / 'run'
    shutil.rmtree(work, ignore_errors=True)
    line = [sys.executable, '-m', 'mmstadapter', 'fit', str(folder / 'videos')]
    line += ['--method', method, '--checkpoint', str(folder / 'clip.safetensors')]
    line += ['--work-dir', str(work), '--epochs', str(epochs), '--batch-size', '4', '--no-mirror']
    took = run([*line, '--cache-features'] if features else line)
    sizes = [f.stat().st_size for f in work.rglob('features/**/*.safetensors')]
    return took, sum(sizes) / max(len(sizes), 1) / 1e6


def cost(folder: Path, method: str, features: bool) -> Cost:
    """Of a method with kept features or without."""
    (few, _), (many, kept) = (fit(folder, method, features, n) for n in EPOCHS[features])
    less, more = EPOCHS[features]
    epoch = max(0.0, (many.processor - few.processor) / (more - less))  # of few clips: noise
    return Cost(epoch, few.processor - less * epoch, kept)


def row(name: str, features: str, found: Cost) -> str:
    """A line of the table."""
    minutes = ' | '.join(f'{found.minutes(n):.1f}' for n in SHOWN)
    kept = f'{found.kept:.1f}' if found.kept else ''
    return f'| {name} | {features} | {found.epoch:.1f} | {found.once:.1f} | {minutes} | {kept} |'


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--methods', nargs='+', default=['linear', 'probe', 'side4video'])
    args = parser.parse_args()
    print('# Kept features of a frozen trunk\n')
    print(
        f'{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, '
        f'torch {torch.__version__}, {datetime.date.today()}; `python benchmarks/features.py`\n\n'
        f'`mmstadapter fit` with and without `--cache-features`, CLIP ViT-B/16, '
        f'{CLASSES * VIDEOS} videos, a fifth of them for validation. Seconds and minutes of '
        f'processor time of whole commands; measured with {EPOCHS[False]} epochs without features '
        f'and {EPOCHS[True]} with them, from which others follow.\n'
    )
    print(HEAD)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(folder / 'clip.safetensors')
        write_videos(folder)
        for method in args.methods:
            without, kept = (cost(folder, method, features) for features in (False, True))
            print(row(method, 'no', without))
            print(row(method, 'kept', kept))
            ratios = [kept.epoch / without.epoch]
            ratios += [kept.minutes(n) / without.minutes(n) for n in SHOWN]
            epoch, *all_of = (f'{ratio:.2f}' for ratio in ratios)
            print(f'| | ratio | {epoch} | | {" | ".join(all_of)} | |', flush=True)


if __name__ == '__main__':
    main()
