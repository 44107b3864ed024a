"""Clips a second a core: the shipped pipelines beside MMAction2's own and decord alone.

Each pipeline makes clips from a video of 340x256, 10 seconds, as Kinetics is often stored, with
key frames every 250 and every 12 frames. What decord alone takes for 8 frames 16 apart, without
sampling, resizing or packing, is measured in the same rounds, and is the unit of the ratio.

    OMP_NUM_THREADS=1 python benchmarks/pipelines.py [--out benchmarks/pipelines_<machine>.md]
"""

import argparse
import datetime
import platform
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import torch
from decode import medians, write_texture
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401  (registers the steps)
from mmstadapter import shipped
from mmstadapter.datasets.clip_cache import Storing, store

KEY_FRAMES = (250, 12)
# Name, config, loader, whether pixels are whole grey levels.
SHIPPED = (
    ('ST-Adapter K400, training', 'stadapter_vit-b_k400', 'train', False),
    ("ST-Adapter K400, training, `pixels = 'uint8'`", 'stadapter_vit-b_k400', 'train', True),
    ('ST-Adapter K400, test, 3 views', 'stadapter_vit-b_k400', 'test', False),
    ("ST-Adapter K400, test, 3 views, `pixels = 'uint8'`", 'stadapter_vit-b_k400', 'test', True),
    ('ST-Adapter SSv2, training, RandAugment', 'stadapter_vit-b_ssv2', 'train', False),
    ('Side4Video K400, training', 'side4video_vit-b_k400', 'train', False),
    ('Side4Video SSv2, training, RandAugment', 'side4video_vit-b_ssv2', 'train', False),
)


def theirs(shape: str, **sampled: int) -> list[dict]:
    """MMAction2's usual steps of training."""
    return [
        dict(type='DecordInit'),
        dict(type='SampleFrames', **sampled),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 256)),
        dict(type='RandomResizedCrop'),
        dict(type='Resize', scale=(224, 224), keep_ratio=False),
        dict(type='Flip', flip_ratio=0.5),
        dict(type='FormatShape', input_format=shape),
        dict(type='PackActionInputs'),
    ]


MMACTION2 = {
    'MMAction2, TSN 8 segments, training': theirs(
        'NCHW', clip_len=1, frame_interval=1, num_clips=8
    ),
    'MMAction2, 8 frames 16 apart, training': theirs(
        'NCTHW', clip_len=8, frame_interval=16, num_clips=1
    ),
}
CACHES = {'every bit': Storing(), 'JPEG 95': Storing(jpeg=95)}


def pipeline(config: str, loader: str, whole: bool, cache: Path | None = None) -> Compose:
    """The steps of a shipped config."""
    cfg = Config.fromfile(shipped.find_config(config))
    cfg.merge_from_dict(dict(pixels='uint8') if whole else {})
    cfg.merge_from_dict(dict(cache=str(cache)) if cache else {})
    return Compose(cfg[f'{loader}_dataloader'].dataset.pipeline)


def alone(path: Path) -> None:
    """Decode 8 frames 16 apart with decord, and nothing else."""
    reader = decord.VideoReader(str(path), num_threads=1)
    first = random.randrange(len(reader) - 112)
    reader.get_batch(list(range(first, first + 113, 16))).asnumpy()


def measured(path: Path) -> list[tuple[str, float, float, float]]:
    """(name, CPU milliseconds a video, its clips, megabytes) by pipeline; decord alone first."""
    made = {name: Compose(steps) for name, steps in MMACTION2.items()}
    made |= {name: pipeline(*how) for name, *how in SHIPPED}
    first, *how = SHIPPED[1]
    for name, storing in CACHES.items():
        folder = path.with_suffix(f'.{name}')
        size = store(folder, str(path), storing)[0] / 1e6
        made[f'{first}, from a cache of {name} ({size:.0f} MB)'] = pipeline(*how, folder)
    sample = dict(filename=str(path), label=0, start_index=0, modality='RGB')
    inputs = {name: steps(dict(sample))['inputs'] for name, steps in made.items()}
    functions: dict[str, Callable] = {'decord alone': lambda: alone(path)}
    functions |= {name: lambda steps=steps: steps(dict(sample)) for name, steps in made.items()}
    times = medians(functions)
    sizes = {name: (_clips(x), x.nbytes / 1e6) for name, x in inputs.items()}
    return [(name, ms, *sizes.get(name, (1, 0.0))) for name, ms in times.items()]


def _clips(inputs: torch.Tensor) -> int:
    """(clips, 3, T, H, W), or (frames, 3, H, W) of one."""
    return len(inputs) if inputs.ndim == 5 else 1


def report(folder: Path) -> str:
    """The page."""
    lines = [
        '# From a video file to a clip: CPU milliseconds and clips a second a core',
        '',
        f'{platform.machine()}, 1 thread, torch {torch.__version__}, av {av.__version__}, opencv '
        f'{cv2.__version__}, decord {decord.__version__}, {datetime.date.today()}; `python '
        'benchmarks/pipelines.py`',
        '',
    ]
    for every in KEY_FRAMES:
        rows = measured(write_texture(folder / f'{every}.mp4', 10, every))
        unit = rows[0][1]
        lines += [
            f'A key frame every {every}:',
            '',
            '| pipeline | ms a video | of decord alone | clips/s a core | MB a video |',
            '|---|---|---|---|---|',
        ]
        for name, ms, clips, size in rows:
            told = f'{size:.1f}' if size else ''
            lines.append(
                f'| {name} | {ms:.1f} | {ms / unit:.2f} | {1e3 * clips / ms:.1f} | {told} |'
            )
        lines.append('')
    return '\n'.join(lines)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    random.seed(0)
    np.random.seed(0)
    init_default_scope('mmaction')
    with tempfile.TemporaryDirectory() as folder:
        text = report(Path(folder))
    print(text)
    if args.out:
        args.out.write_text(text, encoding='utf-8')
