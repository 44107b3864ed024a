"""Pieces around the network: frames a pass, patches, optimisers, the batch's way, heads."""

from functools import partial

import models
import steps
import torch
import torch.nn.functional as F
from einops import rearrange
from harness import Budget, Machine, Report
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import nn

from mmstadapter import BertAdam


def parts(report: Report, budget: Budget, machine: Machine) -> None:
    """Pieces around the network: frames a pass, patches, optimisers, the batch's way, the head."""
    light, full = (steps.quick(s) if machine.quick else s for s in models.SETTINGS[2:4])
    for setting in (light, full):
        for frames in (32, 64, 128, None):
            name = f'{setting.name}, frames_per_pass={frames}'
            if budget.allows(report, name, 3):
                with report.guard(name):
                    step = steps.Step(machine, setting, 'ours', frames_per_pass=frames)
                    ms = 1e3 * machine.time(step, 3, 7)
                    report.row(name, ms=ms, peak_gb=machine.peaks()[0])
    _patches(report, machine)
    _optimisers(report, budget, machine)
    _batch(report, machine)
    _heads(report, machine)


def _patches(report: Report, machine: Machine) -> None:
    side, patch, dims, frames = (224, 16, 768, 256) if not machine.quick else (32, 8, 32, 4)
    x = torch.randn(frames, 3, side, side, device=machine.device)
    w = torch.randn(dims, 3, patch, patch, device=machine.device, dtype=torch.bfloat16)

    def conv():
        with machine.autocast(torch.bfloat16):
            F.conv2d(x, w, stride=patch)

    def product():
        with machine.autocast(torch.bfloat16):
            flat = rearrange(x, 'm c (h p) (w q) -> m (h w) (c p q)', p=patch, q=patch)
            F.linear(flat, w.flatten(1))

    for name, form in (('patches by conv2d', conv), ('patches by a matrix product', product)):
        with report.guard(name):
            report.row(name, ms=1e3 * machine.time(form, 3, 7))


def _optimisers(report: Report, budget: Budget, machine: Machine) -> None:
    shapes = (
        [(512, 512)] * 48 + [(512,)] * 200 + [(2048, 512)] * 24 if not machine.quick else [(8,)] * 4
    )
    makers = {
        'AdamW, default': lambda p: torch.optim.AdamW(p, lr=1e-4),
        'AdamW, fused': lambda p: torch.optim.AdamW(p, lr=1e-4, fused=True),
        'BertAdam': lambda p: BertAdam(p, lr=1e-4),
        'BertAdam without clipping': lambda p: BertAdam(p, lr=1e-4, max_grad_norm=None),
    }
    for name, make in makers.items():
        if not budget.allows(report, name, 2):
            return
        with report.guard(name):
            params = [nn.Parameter(torch.randn(s, device=machine.device)) for s in shapes]
            for p in params:
                p.grad = torch.randn_like(p)
            optimizer = make(params)
            ms = 1e3 * machine.time(optimizer.step, 2, 7)
            host = 1e3 * machine.host_time(optimizer.step)
            report.row(name, ms=ms, host_ms=host, tensors=len(shapes))


def _batch(report: Report, machine: Machine) -> None:
    """32 clips of uint8 to the device and through the data preprocessor."""
    clips, side = (32, 224) if not machine.quick else (2, 32)
    config = dict(
        type='ActionDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, format_shape='NCTHW'
    )
    with report.guard('batch to the device'):
        preprocess = MODELS.build(config).to(machine.device)
        data = [
            torch.randint(0, 256, (1, 3, 8, side, side), dtype=torch.uint8) for _ in range(clips)
        ]
        samples = [ActionDataSample().set_gt_label(0) for _ in range(clips)]
        for name, inputs in (
            ('pageable', data),
            ('pinned', [d.pin_memory() for d in data] if machine.cuda else data),
        ):

            def go(inputs=inputs):
                batch = dict(inputs=list(inputs), data_samples=list(samples))
                preprocess(batch, training=True)
                machine.synchronise()

            report.row(
                f'preprocess {clips} clips, {name}',
                ms=1e3 * machine.host_time(go),
                mb=sum(d.nbytes for d in data) / 1e6,
            )


def _heads(report: Report, machine: Machine) -> None:
    """Heads' losses, whose checks may wait for the device."""
    x = torch.randn(32, 64, device=machine.device)

    def sample(label) -> ActionDataSample:
        return ActionDataSample().set_gt_label(label).to(machine.device)

    single = dict(type='mmstadapter.VideoHead', num_classes=10, in_channels=64)
    makers = {
        'VideoHead': (single, x, [sample(i % 10) for i in range(32)]),
        'MultiTaskHead of 2': (
            dict(type='mmstadapter.MultiTaskHead', heads=dict(a=single, b=single)),
            dict(a=x, b=x),
            [sample(torch.eye(20)[i % 10] + torch.eye(20)[10 + i % 10]) for i in range(32)],
        ),
    }
    for name, (config, feats, samples) in makers.items():
        with report.guard(name):
            head = MODELS.build(config).to(machine.device)
            loss = partial(head.loss, feats, samples)
            waits = len(machine.waits(loss))
            report.row(
                f'{name}, loss of 32 clips', host_ms=1e3 * machine.host_time(loss), waits=waits
            )
