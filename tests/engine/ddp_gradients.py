"""Gradients of ST-Adapter on a batch: ``torchrun ... ddp_gradients.py OUT``.

Each process takes an equal share of the batch; the first one writes the averaged gradients.
"""

import os
import sys

import torch
from mmaction.registry import MODELS
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope

import mmstadapter  # noqa: F401
from mmstadapter.launch import leave_processes
from mmstadapter.testing import fill, tiny_trunk, toy_clips, toy_samples

BATCH = 4


def save_gradients(rank: int, size: int) -> None:
    """Build, back-propagate twice and save."""
    init_default_scope('mmaction')
    model = MODELS.build(
        dict(
            type='Recognizer3D',
            backbone=dict(
                type='mmstadapter.STAdapterViT',
                trunk=tiny_trunk(),
                bottleneck_dims=8,
                positions=('before_attn', 'after_attn', 'after_mlp'),
            ),
            cls_head=dict(
                type='mmstadapter.VideoHead', in_channels=32, num_classes=5, dropout_ratio=0.0
            ),
        )
    )
    fill(model).train()
    share = slice(rank * BATCH // size, (rank + 1) * BATCH // size)
    clips, samples = toy_clips(BATCH)[share].unsqueeze(1), toy_samples(BATCH)[share]
    wrapped = model
    if size > 1:
        wrapped = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    for _ in range(2):  # the second pass fails if a parameter took no part in the first
        model.zero_grad()
        loss, _ = model.parse_losses(wrapped(clips, samples, mode='loss'))
        loss.backward()
    if rank == 0:
        tuned = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        torch.save(tuned, sys.argv[1])


if __name__ == '__main__':
    rank, size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    if size > 1:
        torch.distributed.init_process_group('gloo')
    save_gradients(rank, size)
    leave_processes()
