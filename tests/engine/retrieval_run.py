"""A toy retrieval test in its own process: ``python retrieval_run.py OUT``.

Seven videos with one to three captions; the model's features are numbers drawn from a seed.
Writes the metrics of each process to ``OUT/metrics<rank>.json``, the features to ``OUT``; then
the error of each process when two videos share an id, to ``OUT/error<rank>.txt``, and when the
features cannot be written, to ``OUT/unwritable<rank>.txt``, and when rank 1 has no such device,
to ``OUT/device<rank>.txt``.
"""

import json
import os
import sys
from pathlib import Path

import torch
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.model import BaseModel
from torch.utils.data import Dataset

import mmstadapter
from mmstadapter.launch import build_runner, leave_processes

MEMORY = 1500  # bytes: many small products
VIDEOS, WORDS, FRAMES, DIMS = 7, 4, 3, 8


def tokens(seed: int, items: int, length: int) -> dict:
    """Token features of some items, from a seed."""
    draw = torch.Generator().manual_seed(seed)
    found = torch.randn(items, length, DIMS, generator=draw)
    return dict(
        tokens=torch.nn.functional.normalize(found, dim=-1),
        weights=torch.randn(items, length, generator=draw).softmax(1),
    )


@DATASETS.register_module(force=True)
class ToyCaptions(Dataset):
    """Videos named v0 ... v6, with one to three captions."""

    metainfo = dict(name='toy')

    def __len__(self) -> int:
        return VIDEOS

    def __getitem__(self, index: int) -> dict:
        captions = [f'caption {i} of v{index}' for i in range(1 + index % 3)]
        sample = ActionDataSample()
        sample.set_metainfo(dict(video_id=f'v{index}', captions=captions, index=index))
        return dict(inputs=torch.zeros(1), data_samples=sample)


@MODELS.register_module(force=True)
class ToyRetriever(BaseModel):
    """Adds features, without looking at the videos."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples, mode='tensor'):
        for sample in data_samples:
            sample.video_features = tokens(sample.index, 1, FRAMES)
            sample.text_features = tokens(100 + sample.index, len(sample.captions), WORDS)
        return data_samples


def test(out: Path) -> dict:
    """Metrics of the toy, on the processes torchrun started."""
    metric = dict(
        type='mmstadapter.TextVideoMetric',
        bootstrap=50,
        dsl=True,
        save=str(out / 'features'),
        memory=MEMORY,
    )
    config = dict(
        default_scope='mmaction',
        work_dir=str(out),
        model=dict(type='ToyRetriever'),
        test_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type='ToyCaptions'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        test_cfg=dict(),
        test_evaluator=[metric],
        experiment_name='toy',
        launcher='pytorch' if 'WORLD_SIZE' in os.environ else 'none',
    )
    return build_runner(Config(config)).test()


def error_of(rank: int, **options) -> str:
    """What a metric says when each process has seen another video of one name."""
    metric = mmstadapter.TextVideoMetric(**options)
    names = ['same', f'other{rank}']
    samples = [
        dict(
            video_id=name,
            captions=['a'],
            video_features=tokens(0, 1, FRAMES),
            text_features=tokens(1, 1, WORDS),
        )
        for name in names
    ]
    metric.process(None, samples)
    try:
        metric.evaluate(int(os.environ['WORLD_SIZE']) + 1 if options else 99)
    except (OSError, RuntimeError, ValueError) as error:
        return f'{type(error).__name__}: {error}'
    return 'no error'


if __name__ == '__main__':
    out, rank = Path(sys.argv[1]), int(os.environ.get('RANK', 0))
    (out / f'metrics{rank}.json').write_text(json.dumps(test(out)))
    (out / f'error{rank}.txt').write_text(error_of(rank))
    unwritable = str(out / 'metrics0.json' / 'features')  # a file is no folder
    (out / f'unwritable{rank}.txt').write_text(error_of(rank, save=unwritable))
    device = 'nowhere' if rank == 1 else 'cpu'
    (out / f'device{rank}.txt').write_text(error_of(rank, device=device))
    leave_processes()
