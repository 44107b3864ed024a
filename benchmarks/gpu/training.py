"""Training on the device: steps with loss scaling, the retriever, MMEngine's runner."""

import copy
import logging
import os
import socket
import tempfile
import time
from pathlib import Path

import models
import torch
from harness import Budget, Machine, Report, distance, gradients
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch import nn

from mmstadapter import launch


def amp_steps(report: Report, budget: Budget, machine: Machine) -> None:
    """Steps with loss scaling through the package's optimiser wrapper: finite, falling."""
    for name, make, optimizer in (
        ('ST, AdamW', models.toys()['ST two a block'], dict(type='AdamW', lr=1e-3)),
        ('S4V, AdamW', models.toys()['S4V all'], dict(type='AdamW', lr=1e-3)),
        ('S4V with_cp, AdamW', models.toys()['S4V with_cp'], dict(type='AdamW', lr=1e-3)),
        ('S4V, BertAdam', models.toys()['S4V all'], dict(type='mmstadapter.BertAdam', lr=1e-3)),
    ):
        for dtype in ('float16', 'bfloat16'):
            label = f'{name}, {dtype}'
            if not budget.allows(report, label, 4):
                return
            with report.guard(label):
                torch.manual_seed(0)
                model = nn.ModuleDict(dict(backbone=models.stir(make())))
                model.to(machine.device).train()
                wrapper = build_optim_wrapper(
                    model,
                    dict(
                        type='mmstadapter.AmpOptimWrapper',
                        dtype=dtype,
                        optimizer=optimizer,
                        constructor='mmstadapter.TunedOptimWrapperConstructor',
                        clip_grad=dict(max_norm=1.0),
                    ),
                )
                video = torch.randn(4, 3, 8, 32, 32, device=machine.device)
                target = torch.randn_like(model['backbone'](video)).detach()
                losses = []
                for _ in range(12):
                    with wrapper.optim_context(model):
                        loss = (model['backbone'](video).float() - target).square().mean()
                    wrapper.update_params(loss)
                    losses.append(loss.item())
                finite = all(p.isfinite().all() for p in model.parameters())
                state = wrapper.state_dict().get('loss_scaler') or {}
                good = finite and losses[-1] < losses[0]
                report.row(
                    label,
                    'ok' if good else 'FAIL',
                    first=losses[0],
                    last=losses[-1],
                    scale=state.get('scale', float('nan')),
                )
    _retriever_steps(report, machine)


def _retriever_steps(report: Report, machine: Machine) -> None:
    """The retriever: device against CPU, parts against the whole batch, 16 bit."""
    captions = [f'w{i} w{i + 1} w{i + 2}' for i in range(8)]
    samples = [ActionDataSample(metainfo=dict(captions=[c])) for c in captions]
    video = torch.randn(8, 3, 8, 32, 32)
    found = {}
    for name, device, micro, dtype in (
        ('cpu', 'cpu', None, None),
        ('float32', machine.device, None, None),
        ('float32, micro_batch=3', machine.device, 3, None),
        ('bfloat16', machine.device, None, torch.bfloat16),
        *([('float16', machine.device, None, torch.float16)] if machine.cuda else []),
    ):
        with report.guard(f'retriever {name}'):
            torch.manual_seed(0)
            model = models.stir(models.toy_retriever(micro_batch=micro))
            model.to(device).eval()  # running statistics, so that parts are the whole
            with torch.autocast(
                torch.device(device).type, dtype or torch.bfloat16, enabled=dtype is not None
            ):
                losses = model(video.to(device), samples, mode='loss')
            loss = losses['loss_contrast'] + losses['loss_decorrelation']
            loss.backward()
            found[name] = loss.item(), gradients(model).cpu()
            if name != 'cpu':
                far = distance(found[name][1], found['cpu'][1])
                # the choice of best frames may flip in 16 bit
                limit = 1e-4 if dtype is None else 0.5
                off = abs(found[name][0] / found['cpu'][0] - 1)
                report.check(f'retriever {name}', far, limit, loss_off=off)


def runner(report: Report, budget: Budget, machine: Machine) -> None:
    """MMEngine's runner on random clips: train, validate, save, resume, test; alone, then
    through a group of one process with synchronised batch norms."""
    for launcher in ('none', 'pytorch'):
        for kind in ('ST', 'S4V'):
            label = f'{kind}, launcher={launcher}'
            if not budget.allows(report, label, 10):
                return
            with report.guard(label), tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                told = _train(kind, launcher, Path(folder), machine)
                report.row(label, 'ok', seconds=time.perf_counter() - start, **told)


def _train(kind: str, launcher: str, folder: Path, machine: Machine) -> dict:
    class RandomClips(torch.utils.data.Dataset):
        metainfo: dict = {}

        def __len__(self) -> int:
            return 16

        def __getitem__(self, i: int) -> dict:
            seed = torch.Generator().manual_seed(i)
            clip = torch.randint(0, 256, (1, 3, 8, 32, 32), generator=seed, dtype=torch.uint8)
            return dict(inputs=clip, data_samples=ActionDataSample().set_gt_label(i % 4))

        def full_init(self) -> None:
            """Nothing to read."""

        def get_data_info(self, i: int) -> dict:
            return {}

    DATASETS.register_module(name='RandomClips', module=RandomClips, force=True)
    loader = dict(
        batch_size=4,
        num_workers=2,
        dataset=dict(type='RandomClips'),
        sampler=dict(type='DefaultSampler', shuffle=True),
    )
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=models.toy_trunk(), bottleneck_dims=32)
    if kind == 'S4V':
        backbone = dict(type='mmstadapter.Side4VideoViT', trunk=models.toy_trunk(), side_dims=64)
    cfg = Config(
        dict(
            default_scope='mmaction',
            work_dir=str(folder),
            launcher=launcher,
            log_level='WARNING',
            model=dict(
                type='Recognizer3D',
                backbone=backbone,
                cls_head=dict(
                    type='mmstadapter.VideoHead',
                    num_classes=4,
                    in_channels=128 if kind == 'ST' else 64,
                ),
                data_preprocessor=dict(
                    type='ActionDataPreprocessor',
                    mean=[120.0] * 3,
                    std=[60.0] * 3,
                    format_shape='NCTHW',
                ),
            ),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=2),
            val_cfg=dict(fp16=machine.cuda),
            test_cfg=dict(fp16=machine.cuda),
            val_evaluator=dict(type='mmstadapter.VideoAccMetric'),
            test_evaluator=dict(type='mmstadapter.VideoAccMetric'),
            optim_wrapper=dict(
                type='mmstadapter.AmpOptimWrapper',
                dtype='float16',
                constructor='mmstadapter.TunedOptimWrapperConstructor',
                optimizer=dict(type='AdamW', lr=1e-3),
            ),
            param_scheduler=[
                dict(
                    type='mmstadapter.WarmupCosineLR',
                    warmup=1,
                    by_epoch=True,
                    convert_to_iter_based=True,
                )
            ],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
            custom_hooks=[
                dict(type=f'mmstadapter.{name}')
                for name in (
                    'TunedCheckpointHook',
                    'EpochSeedHook',
                    'FiniteLossHook',
                    'FreezeReportHook',
                )
            ],
            randomness=dict(seed=0),
        )
    )
    if kind == 'S4V' and launcher == 'pytorch':
        cfg.sync_bn = 'torch'
    if launcher == 'pytorch':
        os.environ.update(
            RANK='0',
            LOCAL_RANK='0',
            WORLD_SIZE='1',
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(free_port()),
        )
    try:
        launch.build_runner(_named(cfg, 'train')).train()
        again = _named(cfg, 'resumed')
        again.resume, again.train_cfg.max_epochs = True, 3
        resumed = launch.build_runner(again)
        resumed.train()
        metrics = resumed.test()
        wrapped = type(resumed.model).__name__
        where = str(next(resumed.model.parameters()).device)
        del resumed
    finally:
        launch.leave_processes()
        logging.getLogger('mmengine').setLevel(logging.WARNING)
        Runner._experiment_name = None
    acc = float(metrics['acc/top1'])
    return dict(device=where, model=wrapped, top1=acc)


def _named(cfg, name: str):
    cfg = copy.deepcopy(cfg)
    cfg.experiment_name = f'{name}_{time.monotonic_ns()}'
    return cfg


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]
