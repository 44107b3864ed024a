"""Certificates of OpenGVLab/efficient-video-recognition: EVLViT with VideoHead."""

from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones.beside import trunk_layers
from ..models.backbones.evl import DecoderLayer, EVLViT
from ..weights import SOURCES
from ..weights.clip_names import TRUNK_NAMES, same
from ..weights.tables import Source
from .case import ModelCase
from .st_adapter import clip_trunk

# our word for what marks time -> the constructor's flag
FLAGS = dict(
    conv='enable_temporal_conv',
    position='enable_temporal_pos_embed',
    cross_attention='enable_temporal_cross_attention',
)


class EVLCase(ModelCase):
    """A case of EVL; its numbers have the trunk as well, under OpenAI's names."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        super().__init__(info, tensors, with_trunk(SOURCES['evl']))
        c = info['constructor']
        backbone = EVLViT(
            trunk=clip_trunk(c | dict(input_resolution=tuple(c['input_resolution']))),
            blocks=f'last_{c["decoder_num_layers"]}',
            temporal=[word for word, flag in FLAGS.items() if c[flag]],
            num_frames=info['T'],
            attn_dims=c['decoder_qkv_dim'],
            num_heads=c['decoder_num_heads'],
            mlp_ratio=c['decoder_mlp_factor'],
            dropout=0.0,
        )
        head = VideoHead(c['width'], info['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.model['cls_head'](self.model['backbone'](self.tensors['input'].float()))

    def activations(self) -> dict[str, Tensor]:
        """Trunk layers with their queries and keys, and the decoder's steps."""
        model, video = self.model['backbone'], self.tensors['input'].float()
        found: dict[str, Tensor] = {}
        looked: list = []
        names = ('embed', *(f'block{i}' for i in range(len(model.trunk.blocks))))
        layers = trunk_layers(
            model.trunk, video, len(model.trunk.blocks) - 1, embedded=True, looked=looked
        )
        s = model.query.expand(len(video), 1, -1)
        for i, (name, (tokens,)) in enumerate(zip(names, layers, strict=True), start=-1):
            found[f'trunk.{name}'] = tokens
            if i not in model.reads:
                continue
            heads = model.trunk.blocks[i].attn.num_heads
            for part, x in zip('qk', looked[0], strict=True):
                found[f'trunk.{name}.{part}'] = rearrange(x, 'm l (h d) -> m l h d', h=heads)
            j, seen = model.reads.index(i), model.gazes(i, looked, video.shape[2])
            z = rearrange(tokens, '(b t) l d -> b t l d', b=len(video))
            found |= decoder_steps(j, model.layers[j], z, seen)
            s = found[f'decoder.layer{j}'] = model.layers[j](s, z, *seen)
        return found | {'decoder.norm': model.ln(s[:, 0])}


def decoder_steps(j: int, layer: DecoderLayer, z: Tensor, seen: list[Tensor]) -> dict[str, Tensor]:
    """What decoder layer j makes of Z (B, T, 1+N, D) before the query reads it."""
    y = rearrange(layer.mark(z, *seen), 'b t l d -> b (t l) d')
    found = {f'decoder.memory{j}': y}
    if layer.conv is not None:
        conv = layer.conv(rearrange(z, 'b t l d -> b d t l 1'))
        found[f'decoder.conv{j}'] = rearrange(conv, 'b d t l 1 -> (b l) d t')
    if layer.tables is not None:
        code = layer.tables(*seen)
        found[f'decoder.cross{j}'] = torch.cat([torch.zeros_like(code[:, :, :1]), code], dim=2)
    return found


def with_trunk(source: Source) -> Source:
    """The table of a case that also holds the trunk, without what follows its blocks."""
    inner = [name for name in TRUNK_NAMES if not name.startswith('ln_post.')]
    trunk = same(inner, 'backbone.trunk.', 'visual.')
    return replace(source, rules=(*source.rules, *trunk))
