"""Certificates of BBYL9413/TDS-CLIP: TDSCLIPViT with VideoHead."""

from einops import rearrange
from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones.beside import trunk_layers
from ..models.backbones.side4video.operators import shifted_class_tokens, with_positions
from ..models.backbones.tds_clip import TDSCLIPViT, sampled
from ..weights import SOURCES
from .case import ModelCase
from .st_adapter import clip_trunk


class TDSCLIPCase(ModelCase):
    """A case of TDS-CLIP, whose inputs are groups of frames, (B, T, n, 3, H, W)."""

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        super().__init__(info, tensors, SOURCES['tds-clip'])
        c = info['constructor']
        dims = c['side_dim']
        backbone = TDSCLIPViT(
            trunk=clip_trunk(c),
            side_dims=dims,
            num_diff=c['num_diff'],
            layers=info.get('side_of_trunk') or info.get('side_layers') or 'all',
            head_dims=dims // (dims // 64),
        )
        head = VideoHead(dims, info['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(dict(backbone=backbone, cls_head=head))

    @property
    def video(self) -> Tensor:
        """(B, 3, T·n, H, W)."""
        return rearrange(self.tensors['input'].float(), 'b t n c h w -> b c (t n) h w')

    def forward(self) -> Tensor:
        """(B, num_classes)."""
        return self.model['cls_head'](self.model['backbone'](self.video))

    def activations(self) -> dict[str, Tensor]:
        """Stems, trunk layers, the first block's branches, all side blocks; of the first clip."""
        model, num_frames = self.model['backbone'], self.info['T']
        side, trunk = model.side, model.trunk
        frames, s = sampled(self.video, model.num_diff), side.start(self.video)
        changes = side.stem.differences(self.video)
        found = {'side.in': s, 'side.stem_difference': self._volume(changes)}
        layers = trunk_layers(trunk, frames, len(trunk.blocks) - 1, embedded=True)
        for i, tokens in enumerate(layers, start=-1):
            found[f'trunk.block{i}' if i >= 0 else 'trunk.in'] = tokens[0]
            if i in side.reads:
                k = side.reads.index(i)
                found |= self._branches(s, tokens) if k == 0 else {}
                s = found[f'side.block{k}'] = side.read(s, i, tokens, trunk, num_frames)
        first = {name: x[: 1 if x.ndim == 5 else num_frames] for name, x in found.items()}
        return first | dict(feature=side.finish(s, tokens, trunk, num_frames))

    def _branches(self, s: Tensor, tokens: list[Tensor]) -> dict[str, Tensor]:
        """What the first side block reads, adds, and what its attention sees."""
        side, num_frames = self.model['backbone'].side, self.info['T']
        block = side.blocks[0]
        z = block.project(tokens)
        s = block.fuse(s, z)
        u = block.conv(block.bn_1(s), num_frames)
        time = block.gate(u, num_frames)
        s = s + time
        cls = shifted_class_tokens(z, num_frames)
        seen = with_positions(s, side.position_embedding, cls)
        return {
            'side.proj0': z,
            'side.block0.conv_raw': self._volume(u),
            'side.block0.enhanced': self._volume(time),
            'side.block0.kv': seen,
            'side.block0.attn_raw': block.attn(block.ln_1(seen), s.shape[1]),
        }

    def _volume(self, s: Tensor) -> Tensor:
        """(B·T, h·w, C) -> (B, C, T, h, w)."""
        height = self.model['backbone'].trunk.grid[0]
        return rearrange(s, '(b t) (h w) c -> b c t h w', t=self.info['T'], h=height)
