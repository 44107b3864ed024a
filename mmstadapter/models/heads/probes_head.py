"""Classifiers of several probes that learn the same labels at rates of their own."""

from collections.abc import Sequence
from copy import copy
from itertools import product

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmaction.utils import SampleList
from mmengine.model import BaseModule
from torch import Tensor, nn

from .video_head import VideoHead


@MODELS.register_module()
class ProbesHead(BaseModule):
    """A linear classifier for each of `ProbeViT`'s probes, one for each learning rate and decay.

    The probes do not see one another: each becomes what it would become alone, where
    ``ProbesOptimWrapperConstructor`` builds the optimizer. `ProbesMetric` tells which is best.

    Args:
        in_channels: width of the features.
        num_classes: number of classes.
        lrs: learning rates.
        weight_decays: weight decays; every learning rate is tried with each of them.
        kwargs: further options of `VideoHead` for all of them.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        lrs: Sequence[float] = (5e-3, 3e-3, 1e-3, 3e-4, 1e-4),
        weight_decays: Sequence[float] = (0.01, 0.1, 0.4, 0.8),
        **kwargs,
    ) -> None:
        super().__init__()
        pairs = [(lr, decay) for decay, lr in product(weight_decays, lrs)]
        if not pairs or len(set(pairs)) < len(pairs) or min(map(min, pairs)) < 0:
            raise ValueError(
                'ProbesHead: lrs and weight_decays must be lists of different numbers from 0, got '
                f'{lrs} and {weight_decays}.'
            )
        self.rates = {f'lr{lr:g}_wd{decay:g}': (lr, decay) for lr, decay in pairs}
        self.in_channels, self.num_classes = in_channels, num_classes
        options = dict(dropout_ratio=0.0, init_std=None) | kwargs
        self.heads = nn.ModuleList(
            VideoHead(in_channels, num_classes, **options) for _ in self.rates
        )

    @property
    def feature_shape(self) -> tuple[int, int]:
        """(P, D) of what a video has."""
        return len(self.heads), self.in_channels

    def forward(self, x: Tensor, **kwargs) -> Tensor:
        """(B, P, D) -> (B, P, num_classes) scores."""
        return torch.stack([head(feature) for head, feature in self._pairs(x)], dim=1)

    def loss(self, x: Tensor, data_samples: SampleList, **kwargs) -> dict[str, Tensor]:
        """The sum of the probes' losses, whose gradients are each probe's own.

        With it the accuracies in the batch of the best and of the worst probe.
        """
        found = [head.loss(feature, data_samples) for head, feature in self._pairs(x)]
        accuracy = torch.stack([losses['top1_acc'] for losses in found if 'top1_acc' in losses])
        total = dict(loss_cls=torch.stack([losses['loss_cls'] for losses in found]).sum())
        if len(accuracy):
            total |= dict(best_top1_acc=accuracy.max(), worst_top1_acc=accuracy.min())
        return total

    def predict(self, x: Tensor, data_samples: SampleList, **kwargs) -> SampleList:
        """Write ``tasks``, probe -> sample with label and scores, into the samples."""
        tasks = {
            name: head.predict(feature, [_own(sample) for sample in data_samples])
            for name, (head, feature) in zip(self.rates, self._pairs(x), strict=True)
        }
        for i, sample in enumerate(data_samples):
            sample.set_data(dict(tasks={name: samples[i] for name, samples in tasks.items()}))
        return data_samples

    def _pairs(self, x: Tensor) -> list[tuple[VideoHead, Tensor]]:
        """Each classifier and its feature (B, D)."""
        given = x.shape[1] if x.ndim == 3 else 1
        if given != len(self.heads):
            raise ValueError(
                f'ProbesHead: {len(self.heads)} pairs of rates need as many probes, the backbone '
                f'has {given}. Set model.backbone.num_probes={len(self.heads)}.'
            )
        return list(zip(self.heads, x.unbind(1) if x.ndim == 3 else [x], strict=True))


def _own(sample: ActionDataSample) -> ActionDataSample:
    """A copy to write into."""
    own = ActionDataSample(metainfo=copy(sample.metainfo))
    return own.set_gt_label(sample.gt_label) if 'gt_label' in sample else own
