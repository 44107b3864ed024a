"""Frozen trunks in 8 and 4 bits: error of features, accuracy of what is trained, memory, time.

    python benchmarks/quantized_trunks.py [--data data] [--seeds 3] [--part features]
        [--out benchmarks/quantized_trunks_<machine>_torch<version>.md]

Accuracy is trained as the leaderboard trains (`mmstadapter prepare moving_digits` and `tiny_clip`
make its data). Memory and least times are counted on fake
tensors, as `mmstadapter plan` counts them, and are no measurements.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchao
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

import mmstadapter
from mmstadapter import shipped
from mmstadapter.demo.leaderboard_runs import Plan, complete
from mmstadapter.planning import TrainingStep
from mmstadapter.planning.account import GB
from mmstadapter.planning.cards import Card, find_card
from mmstadapter.planning.settings import changed

FORMS = (None, 'int8', 'nf4')
QUANTIZE = 'model.backbone.trunk.quantize'
METHODS = ('stadapter', 'side4video')
TASKS = ('digit', 'motion')
# name, config, changed fields
STEPS = [
    (
        'Side4Video E/14, 16 clips',
        'side4video_vit-e_k400.py',
        {'train_dataloader.batch_size': 16},
    ),
    (
        'Side4Video E/14, 1 clip, `frames_per_pass=8`',
        'side4video_vit-e_k400.py',
        {'train_dataloader.batch_size': 1, 'model.backbone.frames_per_pass': 8},
    ),
    (
        'Side4Video B/16 light, 32 clips',
        'side4video_vit-b-light_k400.py',
        {
            'train_dataloader.batch_size': 32,
            'optim_wrapper.dtype': 'bfloat16',
            'model.backbone.trunk.dtype': 'bfloat16',
        },
    ),
]


# ----------------------------------------------------------------- features


def random_clip(form: str | None, heavy: bool) -> mmstadapter.CLIPViT:
    """A ViT-B/16 whose matrices have the spread that CLIP's start with.

    Args:
        form: how it is stored.
        heavy: values of Student's t with 4 degrees of freedom in place of normal ones, whose few
            large values make a row's scale coarse.
    """
    torch.manual_seed(0)
    trunk = mmstadapter.CLIPViT('vit-b-p16', quantize=form)
    wide, layers = trunk.embed_dims, len(trunk.blocks)
    spread = {'in_proj_weight': 1, 'c_fc.weight': 2**-0.5}
    spread |= dict.fromkeys(('out_proj.weight', 'c_proj.weight'), (2 * layers) ** -0.5)
    draw = torch.distributions.StudentT(4.0, scale=0.5**0.5) if heavy else None
    with torch.no_grad():
        for name, weight in trunk.named_parameters():
            factor = next((s for end, s in spread.items() if name.endswith(end)), None)
            if factor is not None:
                values = draw.sample(weight.shape) if draw else torch.randn(weight.shape)
                weight.copy_(values * factor * wide**-0.5)
    trunk.init_weights()
    return trunk


def tiny_clip(form: str | None, path: Path) -> mmstadapter.CLIPViT:
    """The demonstration's trained image model."""
    given = Config.fromfile(shipped.config('_base_/trunks/clip_vit-tiny.py')).trunk.to_dict()
    given = {k: v for k, v in given.items() if k != 'type'}
    trunk = mmstadapter.CLIPViT(**given | dict(checkpoint=str(path), quantize=form))
    trunk.init_weights()
    return trunk


@torch.no_grad()
def layers(trunk: mmstadapter.CLIPViT, frames: Tensor, half: bool = False) -> list[Tensor]:
    """The tokens behind every block and, last, the normed class token."""
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        found = [trunk.embed(frames)]
        for block in trunk.blocks:
            found.append(block(found[-1]))
        return [x.float() for x in (*found[1:], trunk.final_norm(found[-1][:, 0]))]


def error(found: Tensor, exact: Tensor) -> float:
    """Length of the difference over the length."""
    return ((found - exact).norm() / exact.norm()).item()


def feature_lines(data: Path) -> Iterator[str]:
    """A table of errors."""
    yield from (
        '| trunk | stored | last block, all tokens | worst block | class token |',
        '|---|---|---|---|---|',
    )
    path = data / 'moving_digits' / 'clip_tiny.safetensors'
    made: list[tuple[str, Any]] = [
        ('B/16, random, normal', lambda form: random_clip(form, heavy=False)),
        ("B/16, random, Student's t", lambda form: random_clip(form, heavy=True)),
    ]
    if path.exists():
        made.append(('tiny CLIP of the demo, trained', lambda form: tiny_clip(form, path)))
    for name, make in made:
        plain = make(None)
        torch.manual_seed(1)
        frames = torch.randn(4, 3, *plain.img_size)
        exact = layers(plain, frames)
        stored = {'float32, bfloat16 autocast': layers(plain, frames, half=True)}
        stored |= {f'`{form}`': layers(make(form), frames) for form in FORMS if form}
        for form, found in stored.items():
            *blocks, feature = map(error, found, exact)
            yield f'| {name} | {form} | {blocks[-1]:.1e} | {max(blocks):.1e} | {feature:.1e} |'


# ----------------------------------------------------------------- accuracy


@dataclass(frozen=True)
class Rounded(Plan):
    """A run of the leaderboard on a trunk that is stored in a form."""

    form: str | None = None

    @property
    def name(self) -> str:
        """Of the run and its folder."""
        return f'{super().name}_{self.form}'

    def options(self) -> dict[str, Any]:
        """The leaderboard's fields and the form."""
        return super().options() | {QUANTIZE: self.form}


def accuracy_lines(data: Path, seeds: int) -> Iterator[str]:
    """A table of accuracies, the seeds of a row matched."""
    yield '| method | task | stored | top-1, seed by seed | mean | to float32, seed by seed |'
    yield '|---|---|---|---|---|---|'
    for method in METHODS:
        for task in TASKS:
            plain: list[float] = []
            for form in FORMS:
                found = [train(method, task, seed, form, data) for seed in range(seeds)]
                plain = plain or found
                more = [a - b for a, b in zip(found, plain, strict=True)]
                yield (
                    f'| {method} | {task} | {form or "float32"} | '
                    f'{" ".join(f"{x:.2f}" for x in found)} | {statistics.mean(found):.2f} | '
                    f'{" ".join(f"{x:+.2f}" for x in more)} |'
                )


def train(method: str, task: str, seed: int, form: str | None, data: Path) -> float:
    """Top-1 in per cent."""
    with tempfile.TemporaryDirectory() as folder:
        places = dict(data=str(data), folder=folder, work_dir=folder)
        plan = Rounded(method, 'clip-tiny', task, seed, form=form, **places)
        return complete(plan).scores['top1']


# ----------------------------------------------------------- memory and time


def step_lines() -> Iterator[str]:
    """A table of peaks and least times."""
    card = find_card('h100')
    yield '| step | stored | peak GB | frozen weights GB | ms, at least |'
    yield '|---|---|---|---|---|'
    for name, path, options in STEPS:
        config = changed(Config.fromfile(shipped.find_config(path)), options)
        for form in FORMS:
            step = TrainingStep(changed(config, {QUANTIZE: form}))
            account = step.account()
            milliseconds = 1e3 * account.seconds(card)
            yield (
                f'| {name} | {form or config.model.backbone.trunk.dtype} | '
                f'{account.peak / GB:.2f} | {account.frozen / GB:.2f} | {milliseconds:.1f} |'
            )
            if form is None:
                plain, saved = milliseconds, 1e3 * float8_saves(step, card)
        yield f'| {name} | `float8`, by formula | – | – | {plain - saved:.1f} |'


def float8_saves(step: TrainingStep, card: Card) -> float:
    """Seconds by which float8 would shorten the trunk's linear maps of a step.

    Products at twice the rate of 16 bit, for tokens that are read in 16 bit and written in 8.
    """
    trunk = step.model.backbone.trunk
    height, width = trunk.grid
    tokens = step.clips * step.frames * (trunk.num_prefix_tokens + height * width)
    saved, rate = 0.0, card.bandwidth * 1e12
    for block in trunk.blocks:
        for weight in (p for p in block.parameters() if p.ndim == 2):
            rows, columns = weight.shape
            operations = 2 * tokens * rows * columns
            out, read, held = 2 * tokens * rows, tokens * columns, rows * columns
            plain = card.seconds(operations, out + 2 * read + 2 * held, True)
            saved += plain - card.seconds(operations / 2, out + read + held, True)
            saved -= 3 * read / rate
    return saved


def main() -> None:
    """Print and optionally write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    parser.add_argument('--data', type=Path, default=Path('data'))
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--part', choices=('features', 'steps', 'accuracy'), help='it alone')
    args = parser.parse_args()
    init_default_scope('mmaction')
    torch.set_num_threads(1)
    lines = [
        '# Frozen trunks in 8 and 4 bits',
        '',
        f'{platform.machine()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}, '
        f'torchao {torchao.__version__}, {time.strftime("%Y-%m-%d")}; '
        '`python benchmarks/quantized_trunks.py`',
    ]
    parts = dict(
        features=('Error of the features, relative, against float32', feature_lines(args.data)),
        steps=('Memory and time of a training step, predicted', step_lines()),
        accuracy=('Accuracy on moving digits', accuracy_lines(args.data, args.seeds)),
    )
    print(*lines, sep='\n')
    for part, (title, table) in parts.items():
        if args.part not in (None, part):
            continue
        lines += ['', f'## {title}', '']
        print(*lines[-3:], sep='\n')
        for line in table:
            lines.append(line)
            print(line, flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
