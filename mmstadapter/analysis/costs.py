"""Parameters and multiply-adds of a config's model, without storage or computation.

Models are built on PyTorch's meta device and one clip is sent through for its operations to be
counted.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from unittest import mock

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .. import shipped
from ..models.ops import depthwise
from ..models.ops.clips import frames_seen


@dataclass(frozen=True)
class Costs:
    """Parameters of a model, and multiply-adds of one clip."""

    tuned: int
    tuned_without_classifier: int
    total: int
    full: int
    ours: int


class _FullForm(nn.Module):
    """A backbone that computes all tokens of all layers, as the authors' code does."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) -> (B, D)."""
        return dict(self.backbone.trace(video))['feature']


class _NoModules(nullcontext):
    """In place of the counter's hooks on all modules, before which lean forms step aside."""

    parents = frozenset({'Global'})


def multiply_adds(module: nn.Module, x: torch.Tensor) -> int:
    """Multiply-adds of one pass: matrix products, convolutions, attention.

    Depth-wise convolutions are taken in their stock form: PyTorch's counter does not see the
    shifted additions that do the same on GPUs.
    """
    counter = FlopCounterMode(display=False)
    vars(counter)['mod_tracker'] = _NoModules()
    stock = mock.patch.object(depthwise, 'choose', lambda kernel_size, device: 'conv3d')
    with torch.no_grad(), stock, counter:
        module(x)
    return counter.get_total_flops() // 2


@cache
def _backbone_costs(text: str, frames: int) -> Costs:
    """Costs without a classifier; ``text`` is the backbone's config in JSON."""
    config = json.loads(text)
    config['trunk'].update(checkpoint=None, dtype=None)
    with torch.device('meta'):
        backbone = MODELS.build(config).eval()
        clips = getattr(backbone, 'num_segments', 1)  # that are read together
        seen = frames_seen(backbone, frames)
        video = torch.empty(clips, 3, seen, *backbone.trunk.img_size)
        ours = full = multiply_adds(backbone, video)
        if hasattr(backbone, 'trace'):
            full = multiply_adds(_FullForm(backbone), video)
    sizes = [(p.numel(), p.requires_grad) for p in backbone.parameters()]
    tuned = sum(size for size, is_tuned in sizes if is_tuned)
    return Costs(tuned, tuned, sum(size for size, _ in sizes), full, ours)


def costs(config: Config) -> Costs:
    """Parameters and operations of a config's model at its frames and size.

    A text tower in the head counts as parameters. It reads class names, once and no clip.
    """
    body = _backbone_costs(json.dumps(config.model.backbone.to_dict()), frames_of(config))
    with torch.device('meta'):
        head = MODELS.build(config.model.cls_head).eval()
        if hasattr(head, 'remember'):
            head.remember(torch.empty(head.num_classes, head.in_channels))
        feature = getattr(head, 'feature_shape', (head.in_channels,))
        operations = multiply_adds(head, torch.empty(1, *feature))
    tuned = sum(p.numel() for p in head.parameters() if p.requires_grad)
    return Costs(
        body.tuned + tuned,
        body.tuned,
        body.total + sum(p.numel() for p in head.parameters()),
        body.full + operations,
        body.ours + operations,
    )


def operations_of_clip(config: Config) -> tuple[int, int] | None:
    """Frames of a clip and the backbone's multiply-adds on it; None without a trunk of ours."""
    backbone = config.model.get('backbone', {})
    if 'trunk' not in backbone:
        return None
    frames = config.model.get('num_frames') or frames_of(config)
    return frames, _backbone_costs(json.dumps(backbone.to_dict()), frames).ours


@cache
def load(stem: str) -> Config:
    """A shipped config."""
    return Config.fromfile(shipped.config(f'{stem}.py'))


def steps_of(config: Config) -> list[dict]:
    """The steps of the test pipeline."""
    return config.test_dataloader.dataset.pipeline


def frames_of(config: Config) -> int:
    """Frames of a clip, without those around each that a method may see besides."""
    return next(step['clip_len'] for step in steps_of(config) if 'clip_len' in step)


def views_of(config: Config) -> tuple[int, int]:
    """Clips and squares of a video in testing."""
    clips = [step.get('num_views', 1) for step in steps_of(config) if 'clip_len' in step]
    squares = [step['num_crops'] for step in steps_of(config) if 'num_crops' in step]
    return clips[0], squares[0]
