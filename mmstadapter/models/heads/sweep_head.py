"""Classifiers of a sweep: one for each branch of a shared trunk, all for the same labels."""

import torch
from mmaction.models.recognizers import Recognizer3D
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..backbones.shared_trunk import SharedTrunkViT
from .probes_head import ProbesHead
from .video_head import VideoHead


@MODELS.register_module()
class SweepHead(ProbesHead):
    """A linear classifier for each branch of `SharedTrunkViT`, all of which learn one task.

    Args:
        backbone: the built `SharedTrunkViT`, for names, widths and rates; given by
            `SweepRecognizer`.
        num_classes: number of classes.
        kwargs: further options of `VideoHead` for all of them, without dropout if not said.
    """

    def __init__(self, backbone: SharedTrunkViT, num_classes: int, **kwargs) -> None:
        BaseModule.__init__(self)
        self.widths, self.num_classes = backbone.out_channels, num_classes
        self.in_channels = self.widths  # type: ignore[assignment]
        self.rates = {run.name: (run.lr, run.weight_decay) for run in backbone.runs.values()}
        options = dict(dropout_ratio=0.0, init_std=None) | kwargs
        self.heads = nn.ModuleList()
        for name, width in self.widths.items():
            torch.set_rng_state(backbone.chance[name])  # as a model of this branch alone goes on
            self.heads.append(VideoHead(width, num_classes, **options))

    def forward(  # type: ignore[override]
        self, x: dict[str, Tensor], **kwargs
    ) -> dict[str, Tensor]:
        """Features (B, C) a branch -> scores (B, num_classes) a run."""
        return {
            name: head(feature)
            for name, (head, feature) in zip(self.rates, self._pairs(x), strict=True)
        }

    def _pairs(  # type: ignore[override]
        self, x: dict[str, Tensor]
    ) -> list[tuple[VideoHead, Tensor]]:
        """Each classifier and its feature (B, C)."""
        return [(head, x[name]) for name, head in zip(self.widths, self.heads, strict=True)]


@MODELS.register_module()
class SweepRecognizer(Recognizer3D):
    """MMAction2's recogniser of clips, whose head learns from the backbone what it classifies.

    Side networks of several widths, at several learning rates and weight decays, and linear
    probes, train on one pass of one frozen trunk; each becomes what it would become alone, where
    ``ProbesOptimWrapperConstructor`` builds the optimizer. `SweepMetric` tells the best,
    `SweepTableHook` prints them all.

    Args:
        backbone: config of `SharedTrunkViT`.
        cls_head: config of `SweepHead`, without ``backbone``.
        kwargs: as for MMAction2's recognisers.
    """

    def __init__(self, backbone: dict, cls_head: dict, **kwargs) -> None:
        super().__init__(backbone, **kwargs)
        self.cls_head = MODELS.build(dict(cls_head, backbone=self.backbone))
