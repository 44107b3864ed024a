"""Certificates of alibaba-mmai-research/DiST: DiSTViT with TextHead."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..models import TextHead
from ..models.backbones.beside import trunk_layers
from ..models.backbones.dist import DiSTLayer, DiSTViT
from ..weights import SOURCES
from .case import ModelCase
from .st_adapter import clip_trunk

RATIOS = ('temporal_conv', 'integration', 'integration_temporal')


class IdsHead(TextHead):
    """`TextHead` that is given what its tokenizer would make of the class names."""

    ids: Tensor

    def tokens(self) -> list[Tensor]:
        """(num_classes, L) of the one template."""
        return [self.ids]


class DiSTCase(ModelCase):
    """A case of DiST; classes come as token ids."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        super().__init__(info, tensors, SOURCES['dist'])
        c = info['constructor']
        backbone = DiSTViT(
            trunk=_trunk(c),
            num_frames=c['num_input_frames'],
            stride=c['alpha'],
            blocks=c['selected_layers'],
            dims=c['integration_dim'],
            temporal_dims=c['temporal_dim'],
            output_dims=c['embed_dim'],
            num_poolings=c['ada_pooling_layers'],
            stem_frames=c['t_patch_size'],
            kernel_size=c['temporal_kernel_size'],
            ratios=[c[f'{name}_mlp_ratio'] for name in RATIOS],
        )
        head = IdsHead(
            c['embed_dim'],
            c['num_classes'],
            text_tower=_text_tower(c),
            tokenizer=dict(type='mmstadapter.CLIPTokenizer'),
            labels=[],
        )
        head.ids = tensors['input_texts']
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.model['cls_head'](self.model['backbone'](self.tensors['input'].float()))

    def activations(self) -> dict[str, Tensor]:
        """Trunk layers, both streams and the pooling, under the official names."""
        model, video = self.model['backbone'], self.tensors['input'].float()
        u, r = model.stem(video), torch.zeros(())
        found = dict(temporal_stem=u)
        seen, last = video[:, :, :: model.stride], len(model.trunk.blocks) - 1
        for i, (tokens,) in enumerate(trunk_layers(model.trunk, seen, last, embedded=True), -1):
            found['trunk.embed' if i < 0 else f'trunk.block{i}'] = first(tokens)
            if i in model.reads:
                j, cls = model.reads.index(i), tokens[:, 0]
                found |= layer_steps(j, model.layers[j], u, r, tokens)
                u, r, z = model.layers[j](u, r, tokens)
        found |= self._pooling(z + r, rearrange(cls, '(b s) d -> b s d', b=len(video)))
        return found | dict(text_features=self.model['cls_head'].texts())

    def _pooling(self, z: Tensor, cls: Tensor) -> dict[str, Tensor]:
        """What follows the layers."""
        model, found = self.model['backbone'], dict[str, Tensor]()
        q_t, q_s = model.query.expand(len(cls), 1, -1), model.frame_query.expand(len(z), 1, -1)
        for i, pooling in enumerate(model.poolings):
            q_t, q_s = pooling(q_t, q_s, z)
            found |= {
                f'adapooling{i}.top_cls': first(q_t),
                f'adapooling{i}.spatial_cls': first(q_s),
            }
        frames = model.cls_proj(cls.mean(dim=1))
        return found | dict(
            proj_spatial_cls=frames,
            ln_post=model.ln(q_t[:, 0] + frames),
            video_feature=F.normalize(model.pool(z, cls), dim=-1),  # stored so
        )


def layer_steps(j: int, layer: DiSTLayer, u: Tensor, r: Tensor, tokens: Tensor) -> dict:
    """The steps of layer j, from the streams u (B, C, T, h, w) and r, and Z (B·S, 1+N, D)."""
    _, r_next, _ = layer(u, r, tokens)
    u, down = layer.temporal(u), layer.down(tokens)
    return {
        f'temporal_net{j}': u,
        f'input_linear{j}': first(down),
        f'temporal2integration{j}': first(layer.collect(u)),
        f'integration2temporal{j}': layer.spread(down + r, u),
        f'integration_net{j}': first(r_next),
    }


def first(x: Tensor) -> Tensor:
    """Tokens first, as the official code has them. (M, L, D) -> (L, M, D)."""
    return x.transpose(0, 1)


def _trunk(c: dict) -> dict:
    width = c['vision_width']
    names = dict(
        input_resolution=c['image_resolution'],
        patch_size=c['vision_patch_size'],
        width=width,
        layers=c['vision_layers'],
        heads=width // 64,
        output_dim=c['embed_dim'],
    )
    return clip_trunk(names, with_proj=True)


def _text_tower(c: dict) -> dict:
    width = c['transformer_width']
    arch = dict(
        vocab_size=c['vocab_size'],
        context_length=c['context_length'],
        embed_dims=width,
        num_layers=c['transformer_layers'],
        num_heads=width // 64,
        output_dims=c['embed_dim'],
    )
    return dict(type='mmstadapter.CLIPText', arch=arch, tune='none')
