"""Every method, trunk and precision: memory, operations and least time of a training step.

    python benchmarks/performance.py              # accounts for all, a quarter of an hour
    python benchmarks/performance.py --only AIM   # those whose name has this, the others stay
    python benchmarks/performance.py --page       # writes docs/performance.md from what is stored

Accounted on fake tensors by `mmstadapter.planning`, with gradients, DistributedDataParallel's
bucket and the optimiser's states; no GPU and no pretrained file is needed. The results go to
performance_<torch>.json beside this file, the page is made by performance_page.py.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import side4video_memory
import torch
import training_memory
from mmengine.config import Config
from mmengine.registry import init_default_scope
from performance_page import PAGE, page
from performance_rows import ROWS, Row
from plain_clip import attention, feed_forward
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mmstadapter
from mmstadapter import shipped
from mmstadapter.planning import Account, TrainingStep, account_of
from mmstadapter.planning.cards import CARDS
from mmstadapter.planning.settings import changed

FOLDER = Path(__file__).parent
SHOWN = ('a100', 'h100', '4090')
GPUS = 8  # as the papers train: there is a bucket of gradients
ONE, TWO = ('after_attn',), ('before_attn', 'after_attn')
AUTHORS = {
    'st-b-1': partial(training_memory.account, 'vit-b-p16', ONE, 32, 'authors'),
    'st-b-2': partial(training_memory.account, 'vit-b-p16', TWO, 32, 'authors'),
    'st-l-1': partial(training_memory.account, 'vit-l-p14', ONE, 16, 'authors'),
    'st-l-2': partial(training_memory.account, 'vit-l-p14', TWO, 16, 'authors'),
    's4v-b-6': partial(side4video_memory.account, 'vit-b-p16', 192, 'interval', 32, 'authors'),
    's4v-b-12': partial(side4video_memory.account, 'vit-b-p16', 320, 'all', 32, 'authors'),
    's4v-l-12': partial(side4video_memory.account, 'vit-l-p14', 320, 'interval', 16, 'authors'),
    's4v-l-24': partial(side4video_memory.account, 'vit-l-p14', 512, 'all', 16, 'authors'),
}
PRECISIONS: dict[str, dict[str, Any]] = {
    '16 bit': {
        'optim_wrapper.type': 'mmstadapter.AmpOptimWrapper',
        'optim_wrapper.dtype': 'bfloat16',
        'model.backbone.trunk.dtype': 'bfloat16',
    },
    'float32': {
        'optim_wrapper.type': 'OptimWrapper',
        'optim_wrapper.dtype': None,
        'model.backbone.trunk.dtype': None,
    },
}


def step_of(row: Row, precision: str) -> TrainingStep:
    """The training step of a row, at the config's batch size."""
    config = Config.fromfile(shipped.config(row.config))
    return TrainingStep(changed(config, row.options | PRECISIONS[precision]), GPUS)


def entry(row: Row, precision: str) -> dict[str, Any]:
    """What is stored of a row."""
    step = step_of(row, precision)
    clips = row.clips // step.samples * step.samples
    account = step.account(row.clips // step.samples)
    return dict(frames=step.frames, clips=clips, size=list(step.size), **figures(account))


def figures(account: Account) -> dict[str, Any]:
    """Bytes, operations, and the least seconds on each card."""
    return dict(
        peak=account.peak,
        categories=account.categories(),
        operations=account.operations,
        traffic=account.traffic,
        kernels=len(account.operators),
        seconds={name: account.seconds(CARDS[name]) for name in SHOWN},
        products={
            name: sum(CARDS[name].seconds(o.operations, 0, o.half) for o in account.operators)
            for name in SHOWN
        },
    )


class PlainTrunk(nn.Module):
    """A frozen CLIP trunk in the operators of both papers' released codes."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.trunk = mmstadapter.CLIPViT(arch=arch, dtype='bfloat16')

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(M, 3, H, W) -> (M, L, D), every token of the last layer."""
        x = self.trunk.embed(frames)
        for block in self.trunk.blocks:
            x = x + attention(block, x)
            x = x + feed_forward(block, x)
        return x


def trunk_forward(arch: str, clips: int) -> dict[str, Any]:
    """The forward pass of a plain frozen trunk in bfloat16 alone, every token of every layer."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        trunk = PlainTrunk(arch)
        frames = torch.empty(8 * clips, 3, 224, 224)
        account = account_of(
            lambda: trunk(frames).sum(), trunk, [frames], autocast=torch.bfloat16, bucket=False
        )
    return dict(frames=8, clips=clips, size=[224, 224], **figures(account))


def everything() -> Iterator[tuple[str, Any]]:
    """Name -> what makes its entry."""
    for arch, clips in (('vit-b-p16', 32), ('vit-l-p14', 16)):
        yield f'trunk {arch}, forward, 16 bit', partial(trunk_forward, arch, clips)
    for row in ROWS:
        for precision in PRECISIONS:
            yield row.key(precision), partial(entry, row, precision)
        if row.authors:
            yield f"{row.key('16 bit')}, authors' form", partial(as_figures, row)


def as_figures(row: Row) -> dict[str, Any]:
    """The authors' operators at the row's size."""
    return figures(AUTHORS[row.authors]())


def main() -> None:
    """Account, store, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', default='', help='of these names')
    parser.add_argument('--page', action='store_true', help='account for nothing')
    args = parser.parse_args()
    if not args.page:
        make_rows(args.only)
    PAGE.write_text(page())


def make_rows(only: str) -> None:
    """Account for the rows with this in their name, and store each as soon as it is known."""
    file = FOLDER / f'performance_torch{torch.__version__.split("+")[0]}.json'
    stored = json.loads(file.read_text()) if file.is_file() else dict(entries={})
    init_default_scope('mmaction')
    for name, make in everything():
        if only in name:
            made = dict(date=time.strftime('%Y-%m-%d'), torch=torch.__version__)
            stored['entries'][name] = made | make()
            stored['machine'] = f'{platform.machine()}, accounted on fake tensors'
            print(name, f'{stored["entries"][name]["peak"] / 1e9:.2f} GB', flush=True)
            file.write_text(json.dumps(stored, indent=1) + '\n')


if __name__ == '__main__':
    main()
