"""A toy training run in its own process: ``python toy_run.py WORK_DIR [options]``.

ST-Adapter on the tiny trunk over random clips whose augmentation draws from Python's, NumPy's
and PyTorch's random numbers. The tests start it, kill it, resume it, and run it on two processes.
"""

import argparse
import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import DATASETS, HOOKS, METRICS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from torch.utils.data import Dataset

import mmstadapter  # noqa: F401
from mmstadapter.launch import build_runner, leave_processes
from mmstadapter.testing import tiny_trunk, write_clip_file

NUM_CLASSES = 3


@DATASETS.register_module(force=True)
class ToyClips(Dataset):
    """Random clips (1, 3, T, H, W) with labels; ``augment`` adds noise from every stream."""

    metainfo = dict(name='toy')

    def __init__(self, length: int = 11, augment: bool = False) -> None:
        self.length = length
        self.augment = augment

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        clip = 50 * torch.randn(1, 3, 2, 32, 32, generator=generator) + 120
        if self.augment:
            clip = clip * random.uniform(0.5, 1.5) + np.random.uniform(-9, 9) + 9 * torch.rand(1)
        sample = ActionDataSample().set_gt_label(index % NUM_CLASSES)
        sample.set_metainfo(dict(index=index))
        return dict(inputs=clip, data_samples=sample)


@METRICS.register_module(force=True)
class SeenVideos(BaseMetric):
    """Write every collected prediction to ``seen.json``; the metric is their number."""

    default_prefix = 'seen'

    def __init__(self) -> None:
        super().__init__()

    def process(self, data_batch, data_samples) -> None:
        for sample in data_samples:
            self.results.append((sample['index'], sample['pred_score'].tolist()))

    def compute_metrics(self, results: list) -> dict:
        Path('seen.json').write_text(json.dumps(results))
        return dict(videos=len(results))


@HOOKS.register_module(force=True)
class Record(Hook):
    """Append loss, rate and sample order of every iteration to a file; die where asked."""

    def __init__(self, path: str, die_at: int | None = None) -> None:
        self.path = path
        self.die_at = die_at

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.lr = runner.optim_wrapper.optimizer.param_groups[0]['lr']

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        line = dict(
            iter=runner.iter,
            epoch=runner.epoch,
            lr=self.lr,
            loss=outputs['loss'].item(),
            samples=[s.index for s in data_batch['data_samples']],
        )
        with open(self.path, 'a') as file:
            file.write(json.dumps(line) + '\n')
        if runner.iter == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def loader(length: int, workers: int, training: bool, batch_size: int = 4) -> dict:
    """Config of a data loader over the toy clips."""
    return dict(
        batch_size=batch_size,
        num_workers=workers,
        dataset=dict(type='ToyClips', length=length, augment=training),
        sampler=dict(type='DefaultSampler', shuffle=training),
    )


def toy_config(work_dir: str | Path, workers: int = 0, epochs: int = 4, **changes) -> dict:
    """Config of the toy run; ``changes`` replace top-level entries.

    Writes the trunk's pretrained file into the current folder. Short relative names in the
    config, because MMEngine's formatting of a config takes seconds on long ones.
    """
    checkpoint = f'clip-{os.getpid()}.safetensors'
    config = dict(
        default_scope='mmaction',
        work_dir=str(work_dir),
        model=dict(
            type='Recognizer3D',
            data_preprocessor=dict(
                type='ActionDataPreprocessor', mean=[120] * 3, std=[60] * 3, format_shape='NCTHW'
            ),
            backbone=dict(
                type='mmstadapter.STAdapterViT',
                trunk=tiny_trunk(checkpoint=write_clip_file(checkpoint)),
                bottleneck_dims=8,
            ),
            cls_head=dict(
                type='mmstadapter.VideoHead', in_channels=32, num_classes=NUM_CLASSES, topk=(1,)
            ),
        ),
        train_dataloader=loader(11, workers, training=True),
        val_dataloader=loader(5, workers, training=False),
        test_dataloader=loader(7, workers, training=False, batch_size=1),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(),
        test_cfg=dict(),
        val_evaluator=dict(type='AccMetric'),
        test_evaluator=[dict(type='AccMetric'), dict(type='SeenVideos')],
        optim_wrapper=dict(
            type='mmstadapter.AmpOptimWrapper',
            constructor='mmstadapter.TunedOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.01),
            paramwise_cfg=dict(bias_decay_mult=0.0),
        ),
        param_scheduler=[
            dict(
                type='mmstadapter.WarmupCosineLR',
                warmup=1,
                by_epoch=True,
                convert_to_iter_based=True,
            )
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=100),
            checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
        ),
        custom_hooks=[
            dict(type='mmstadapter.TunedCheckpointHook'),
            dict(type='mmstadapter.EpochSeedHook'),
            dict(type='mmstadapter.FiniteLossHook'),
            dict(type='mmstadapter.FreezeReportHook'),
        ],
        randomness=dict(seed=0),
        experiment_name='toy',
    )
    return config | changes


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument('--die-at', type=int)
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--no-val', action='store_true')
    return parser.parse_args()


def train_and_test(args: argparse.Namespace) -> None:
    """Leave ``record.jsonl``, ``test.json`` and ``final.pth`` in the work dir."""
    changes: dict = dict(resume=args.resume)
    rank = int(os.environ.get('RANK', 0))
    if 'WORLD_SIZE' in os.environ:
        changes.update(launcher='pytorch')
    if args.no_val:
        changes.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    config = toy_config(args.work_dir, args.workers, args.epochs, **changes)
    record = Path(args.work_dir) / f'record{rank or ""}.jsonl'
    config['custom_hooks'].append(dict(type='Record', path=str(record), die_at=args.die_at))
    runner = build_runner(Config(config))
    model = runner.train()
    metrics = runner.test()
    if rank == 0:
        torch.save(getattr(model, 'module', model).state_dict(), Path(args.work_dir) / 'final.pth')
        (Path(args.work_dir) / 'test.json').write_text(json.dumps(metrics))


if __name__ == '__main__':
    train_and_test(parse_args())
    leave_processes()
