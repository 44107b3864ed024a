"""Side4Video on two processes: ``torchrun ... batch_norm_run.py OUT``.

With the statistics of each process and with joint ones. Writes what the tests compare: gradients
and running statistics after one backward pass, and those of a short training run.
"""

import os
import sys
from pathlib import Path

import torch
from mmaction.registry import HOOKS, MODELS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from toy_run import toy_config

import mmstadapter  # noqa: F401
from mmstadapter.launch import build_runner, leave_processes
from mmstadapter.models.ops.sync_batch_norm import synchronise
from mmstadapter.models.retrieval.in_parts import encode_in_parts
from mmstadapter.testing import fill, tiny_trunk, toy_clips, toy_samples, write_clip_file

BATCH = 4


def model_config(checkpoint: str | None = None) -> dict:
    """Side4Video with two side blocks on the tiny trunk."""
    return dict(
        type='Recognizer3D',
        backbone=dict(
            type='mmstadapter.Side4VideoViT',
            trunk=tiny_trunk(checkpoint=checkpoint),
            side_dims=64,
            layers='top_2',
        ),
        cls_head=dict(
            type='mmstadapter.VideoHead', in_channels=64, num_classes=3, dropout_ratio=0.0
        ),
    )


def statistics(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Running means and variances by name, copied."""
    return {k: v.clone() for k, v in model.state_dict().items() if 'running' in k}


def one_pass(rank: int, size: int, sync: bool) -> dict:
    """Gradients and running statistics after a backward pass on this process's share."""
    init_default_scope('mmaction')
    model = fill(MODELS.build(model_config())).train()
    share = slice(rank * BATCH // size, (rank + 1) * BATCH // size)
    clips, samples = toy_clips(BATCH)[share].unsqueeze(1), toy_samples(BATCH, 3)[share]
    if sync:
        model = synchronise(model)
    wrapped = model
    if size > 1:
        wrapped = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    loss, _ = model.parse_losses(wrapped(clips, samples, mode='loss'))
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return dict(gradients=gradients, statistics=statistics(model))


@HOOKS.register_module(force=True)
class KeepStatistics(Hook):
    """Hold this process's running statistics as they are when the last epoch's steps end."""

    priority = 'VERY_HIGH'
    last: dict

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Copy them."""
        KeepStatistics.last = statistics(getattr(runner.model, 'module', runner.model))


def train(folder: Path, sync: bool) -> dict:
    """Train an epoch through the runner; this process's last running statistics."""
    changes = dict(launcher='pytorch', experiment_name=folder.name)
    changes |= dict(val_dataloader=None, val_cfg=None, val_evaluator=None)
    changes |= dict(test_dataloader=None, test_cfg=None, test_evaluator=None)
    if sync:
        changes['sync_bn'] = 'torch'
    config = toy_config(folder, epochs=2, **changes)
    checkpoint = write_clip_file(folder.parent / f'clip-{os.getpid()}.safetensors')
    config['model'] |= model_config(checkpoint)
    config['default_hooks']['sync_buffers'] = dict(type='SyncBuffersHook')
    config['custom_hooks'].append(dict(type='KeepStatistics'))
    build_runner(Config(config)).train()
    return KeepStatistics.last


def in_parts(rows: int) -> str:
    """What a batch of so many rows, two at a time through a joint norm, ends with."""
    norm = synchronise(torch.nn.BatchNorm1d(3))
    x = torch.randn(rows, 3, requires_grad=True)
    try:
        encode_in_parts(lambda part: (norm(part),), norm, x, 2)[0].sum().backward()
    except ValueError as error:
        return str(error)
    return f'gradient {tuple(x.grad.shape)}'


if __name__ == '__main__':
    out, rank = Path(sys.argv[1]), int(os.environ['RANK'])
    torch.distributed.init_process_group('gloo')
    results = {}
    for name, sync in dict(own=False, joint=True).items():
        results[name] = one_pass(rank, 2, sync) | dict(trained=train(out / name, sync))
    results['parts'] = [in_parts(3 + rank), in_parts(4 + rank)]
    torch.save(results, out / f'rank{rank}.pth')
    leave_processes()
