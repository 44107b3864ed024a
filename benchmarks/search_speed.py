"""Time of a search: as a fresh command, and in a process that holds index and model.

Writes Markdown. The model is zero-shot CLIP ViT-B/16 with random weights in 16 bit, whole, of
which a search reads the text tower (63 M parameters); the segments are random unit vectors. A
million of them take 1.1 GB on the disk, the approximate stage as much again, and building that
takes minutes.

    python benchmarks/search_speed.py [--rows 1000 100000] [--folder DIR] > benchmarks/...md
"""

import argparse
import datetime
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.registry import init_default_scope
from safetensors.torch import save_file

import mmstadapter
from mmstadapter import logs
from mmstadapter.search.first_stage import WORTHWHILE, load_faiss
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.writer import writing

WIDTH, WINDOWS, COMMIT = 512, 10, 50_000
CONFIG = 'zeroshot_vit-b_msrvtt.py'
CAPTION = 'a dog jumps into water'
OTHERS = [
    f'{who} {does} {where}'
    for who in ('a man', 'two children', 'the old horse', 'somebody in red')
    for does in ('runs', 'cooks soup', 'plays the violin', 'opens a box', 'waits')
    for where in ('at night', 'in the kitchen', 'by the sea')
]
NAMED = dict(open='opening', first='first hit', later='later')
COLUMNS = ['segments', '', 'command: processor s', 'on the clock s']
COLUMNS += [f'{x} ms' for name in NAMED.values() for x in (f'{name}: processor', 'on the clock')]
TORCH = [sys.executable, '-c', 'import torch']


class Took(NamedTuple):
    """Seconds on the clock and of processor time, user and system."""

    wall: float
    processor: float


def write_clip(path: Path) -> Path:
    """A random CLIP ViT-B/16 of full size under OpenAI's names, in 16 bit as the published one."""
    init_default_scope('mmaction')
    torch.manual_seed(0)
    trunk = mmstadapter.CLIPViT('vit-b-p16', with_proj=True).state_dict()
    text = mmstadapter.CLIPText('clip-b').state_dict()
    tensors = {f'visual.{name}': tensor for name, tensor in trunk.items()} | text
    tensors['logit_scale'] = torch.tensor(100.0).log()
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, path)
    return path


def write_index(folder: Path, rows: int, model: Mapping[str, Any]) -> Path:
    """An index of so many random segments, ten a video, with a first stage if it is worth one."""
    random = torch.Generator().manual_seed(0)
    with writing(folder, model, folder, 10.0, say=note) as writer:
        for start in range(0, rows, COMMIT):
            for first in range(start, min(start + COMMIT, rows), WINDOWS):
                vector = torch.randn(WINDOWS, WIDTH, generator=random)
                vector = torch.nn.functional.normalize(vector, dim=-1)
                spans = [(10.0 * w, 10.0 * w + 10) for w in range(WINDOWS)]
                stamp = VideoStamp(f'{first // WINDOWS:07d}.mp4', 1, 1)
                writer.add(stamp, dict(vector=vector), spans)
            writer.commit()
        writer.build_first_stage()
    return folder


def command(index: Path) -> list[str]:
    """What a user types."""
    return [sys.executable, '-m', 'mmstadapter', 'search', CAPTION, '--index', str(index)]


def run(line: list[str]) -> Took:
    """A process from its start to its end."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, os.times()
    user = after.children_user - before.children_user
    return Took(wall, user + after.children_system - before.children_system)


def least(line: list[str], times: int) -> Took:
    """Of some runs, after one that fills the file cache; what is more is the neighbours'."""
    run(line)
    found = [run(line) for _ in range(times)]
    return Took(*map(min, zip(*found, strict=True)))


def resident(index: Path) -> dict[str, float]:
    """Milliseconds in this process, processor and clock: opening, the first hits, later ones."""
    found: list[Took] = []

    def timed(work: Callable[[], Any]) -> Any:
        begun, busy = time.perf_counter(), time.process_time()
        result = work()
        found.append(Took(time.perf_counter() - begun, time.process_time() - busy))
        return result

    search = timed(lambda: mmstadapter.VideoSearch(index, device='cpu').warm())
    for caption in (CAPTION, *OTHERS):
        timed(lambda caption=caption: search(caption))
    opened, first, *later = found
    usual = Took(*map(statistics.median, zip(*later, strict=True)))
    named = dict(open=opened, first=first, later=usual)
    return {f'{n}_{side}': 1000 * v for n, t in named.items() for side, v in t._asdict().items()}


def alone(index: Path) -> dict[str, float]:
    """`resident` in a process of its own, which nothing has warmed."""
    line = [sys.executable, __file__, '--resident', str(index)]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    pairs = (pair.split('=') for pair in done.stdout.splitlines()[-1].split())
    return {name: float(value) for name, value in pairs}


def row(folder: Path, rows: int, model: Mapping[str, Any], times: int) -> str:
    """A line of the table."""
    index = write_index(folder / str(rows), rows, model)
    fresh, there = least(command(index), times), alone(index)
    stage = 'first stage' if rows >= WORTHWHILE and load_faiss() else 'all compared'
    figures = [there[f'{n}_{side}'] for n in NAMED for side in ('processor', 'wall')]
    return (
        f'| {rows:,} | {stage} | {fresh.processor:.2f} | {fresh.wall:.2f} | '
        + ' | '.join(f'{figure:.0f}' for figure in figures)
        + ' |'
    )


def about(times: int) -> str:
    """What was measured, where and when."""
    torch_alone = least(TORCH, times)
    arguments = shlex.join(sys.argv[1:])
    return (
        f'{platform.machine()}, {torch.get_num_threads()} thread(s), load average '
        f'{os.getloadavg()[0]:.1f}, torch {torch.__version__}, {datetime.date.today()}; '
        f'`{f"python benchmarks/search_speed.py {arguments}".strip()}`\n\n'
        f'Text tower and tokenizer of CLIP ViT-B/16, random weights; vectors of {WIDTH} numbers. '
        f'The least of {times} commands after one that fills the file cache; processor seconds are '
        'user and system. `import torch` alone takes '
        f'{torch_alone.processor:.2f} processor seconds, {torch_alone.wall:.2f} on the clock. A '
        f'resident process: `VideoSearch(...).warm()` once, then {1 + len(OTHERS)} sentences, '
        'ten hits each; later ones are the median.\n'
    )


def note(line: str) -> None:
    """For who waits."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    add = parser.add_argument
    add('--rows', type=int, nargs='+', default=[1_000, 100_000, 1_000_000])
    add('--times', type=int, default=5, help='commands to run [5]')
    add('--folder', type=Path, help='where to write the indexes [a temporary folder]')
    add('--resident', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.resident:
        print(' '.join(f'{name}={value}' for name, value in resident(args.resident).items()))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        clip = str(write_clip(folder / 'clip.safetensors'))
        towers = ('model.backbone.trunk.checkpoint', 'model.text_tower.checkpoint')
        with logs.on_stderr():
            model = mmstadapter.SearchModel(CONFIG, None, 'cpu', dict.fromkeys(towers, clip))
        print('# Time of a search\n')
        print(about(args.times))
        print(f'| {" | ".join(COLUMNS)} |')
        print('|---|---|---|---|---|---|---|---|')
        for rows in args.rows:
            print(row(folder, rows, model.describe(), args.times), flush=True)


if __name__ == '__main__':
    main()
