"""Certificates of linziyi96/st-adapter: STAdapterViT with VideoHead."""

import re

from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones import STAdapterViT
from ..weights import SOURCES
from .case import ModelCase


class STAdapterCase(ModelCase):
    """A case of linziyi96/st-adapter."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        super().__init__(info, tensors, SOURCES['st-adapter'])
        c = info['constructor']
        positions = dict(before_attn=c['adapter_pre_attn'], after_attn=c['adapter_pre_mlp'])
        backbone = STAdapterViT(
            trunk=clip_trunk(c),
            bottleneck_dims=c['adapter_width'],
            kernel_size=c['adapter_kernel_size'],
            positions=[p for p, present in positions.items() if present],
            blocks=f'last_{c["adapter_layers"]}',
        )
        head = VideoHead(c['width'], c['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.model['cls_head'](self.model['backbone'](self.tensors['input'].float()))

    def activations(self) -> dict[str, Tensor]:
        """Every step, as `STAdapterViT.trace` names them, under the official names."""
        steps = dict(self.model['backbone'].trace(self.tensors['input'].float()))
        return {_official(name): x for name, x in steps.items()}


def _official(step: str) -> str:
    """'1.after_attn' -> 'block1.adapter_pre_mlp'."""
    fixed = dict(embed='ln_pre', pooled='ln_post_in')
    name = re.sub(r'^(\d+)', r'block\1', fixed.get(step, step))
    return name.replace('before_attn', 'adapter_pre_attn').replace('after_attn', 'adapter_pre_mlp')


def clip_trunk(constructor: dict, **fields) -> dict:
    """Config of a CLIP trunk from official constructor arguments."""
    c = constructor
    arch = dict(
        img_size=c['input_resolution'],
        patch_size=c['patch_size'],
        embed_dims=c['width'],
        num_layers=c['layers'],
        num_heads=c['heads'],
    )
    if 'output_dim' in c:
        arch['output_dims'] = c['output_dim']
    return dict(type='mmstadapter.CLIPViT', arch=arch, **fields)
