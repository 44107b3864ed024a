"""Certificates of HJYao00/Side4Video's visual parts: recognition and retrieval, CLIP and EVA."""

from collections.abc import Iterator

from einops import rearrange
from torch import Tensor, nn

from ..models import VideoHead
from ..models.backbones import Side4VideoViT
from ..models.backbones.beside import trunk_layers
from ..models.backbones.side4video.operators import shifted_class_tokens, with_positions
from ..weights import SOURCES
from ..weights.sources.side4video import visual_rules
from ..weights.tables import Source
from .case import Line, ModelCase, compare
from .st_adapter import clip_trunk


class Side4VideoCase(ModelCase):
    """Recognition (``fc`` on the pooled side tokens) or a joint vector a frame.

    The official inputs are frames, (B·T, 3, H, W).
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.eva = 'eva_vit_model' in info['source']
        self.act_kind = 'act_post_norm' if self.eva else 'act'
        self.retrieval = 'Retrieval/' in info['source']
        super().__init__(info, tensors, self._source())
        self.output = 'frames' if self.retrieval else 'logits'
        self.num_frames = info['T']
        side_dims = info['constructor']['side_dim']
        backbone = Side4VideoViT(
            trunk=self._trunk(),
            side_dims=side_dims,
            layers=info.get('side_of_trunk') or info['side_layers'],
            norm='post' if self.eva else 'pre',
            output='frames' if self.retrieval else 'clip',
            cls_position=self.retrieval and not self.eva,
        )
        parts = dict(backbone=backbone)
        if not self.retrieval:
            parts['cls_head'] = VideoHead(side_dims, info['num_classes'], dropout_ratio=0.0)
        self.model = nn.ModuleDict(parts)

    def _source(self) -> Source:
        if not self.retrieval:
            return SOURCES['side4video-eva' if self.eva else 'side4video-clip']
        return Source('visual', 'model', visual_rules(self.eva, True, 'visual.'))

    def _trunk(self) -> dict:
        c = self.info['constructor']
        tune = 'after_blocks' if self.retrieval else 'none'
        if not self.eva:
            return clip_trunk(c, tune=tune, with_proj=self.retrieval)
        arch = dict(
            img_size=c['img_size'],
            patch_size=c['patch_size'],
            embed_dims=c['embed_dim'],
            num_layers=c['depth'],
            num_heads=c['num_heads'],
            mlp_ratio=c['mlp_ratio'],
            output_dims=c['num_classes'],
        )
        return dict(type='mmstadapter.EVAViT', arch=arch, tune=tune, with_proj=True)

    @property
    def video(self) -> Tensor:
        """(B, 3, T, H, W)."""
        return rearrange(
            self.tensors['input'].float(), '(b t) c h w -> b c t h w', t=self.num_frames
        )

    def forward(self) -> Tensor:
        """(B, num_classes), or (B, T, E)."""
        x = self.model['backbone'](self.video)
        return x if self.retrieval else self.model['cls_head'](x)

    def outputs(self, out: Tensor) -> dict[str, Tensor]:
        """The logits, or frames and their mean."""
        return dict(frames=out, pooled_meanP=out.mean(dim=1)) if self.retrieval else {'logits': out}

    def comparisons(self) -> Iterator[Line]:
        """All of `ModelCase`, and that the side network starts as plain CLIP."""
        yield from super().comparisons()
        if 'plain_clip_frames' in self.tensors:
            self.load()
            nn.init.zeros_(self.model['backbone'].side.up)
            frames = self.model.eval()['backbone'](self.video)
            yield compare(
                'plain_clip_frames', self.act_kind, frames, self.tensors['plain_clip_frames']
            )

    def activations(self) -> dict[str, Tensor]:
        """Trunk layers, stem, projections, branches and side blocks under the official names."""
        model, found = self.model['backbone'], {}
        frames = self.tensors['input'].float()
        found['trunk.ln_pre'] = found['trunk.in'] = self._tokens(model.trunk.embed(frames))
        s = model.side.start(self.video)
        found['side.stem_bn'] = self._volume(s)
        for i, tokens in enumerate(
            trunk_layers(model.trunk, self.video, len(model.trunk.blocks) - 1)
        ):
            found[f'trunk.block{i}'] = self._tokens(tokens[0])
            if i in model.side.reads:
                k = model.side.reads.index(i)
                z = model.side.blocks[k].project(tokens)
                found[f'side.proj{k}'] = self._tokens(z)
                found |= self._branches(s, z) if k == 0 else {}
            s = model.side.read(s, i, tokens, model.trunk, self.num_frames)
            if i in model.side.reads:
                found[f'side.block{k}'] = self._tokens(s)
        if model.side.norm is not None:
            found['side.final_bn'] = self._volume(model.side.norm(s))
        return found | self._ends(s, tokens)

    def _branches(self, s: Tensor, z: Tensor) -> dict[str, Tensor]:
        """What the first side block adds, and what its attention sees."""
        model = self.model['backbone']
        block = model.side.blocks[0]
        s = block.fuse(s, z)
        given = s if self.eva else block.bn_1(s)
        time = block.conv(given, self.num_frames)
        s = s + (block.bn_1(time) if self.eva else time)
        cls, positions = shifted_class_tokens(z, self.num_frames), model.side.position_embedding
        seen = with_positions(s, positions, cls)
        seen = seen if self.eva else block.ln_1(seen)
        num_queries = s.shape[1] + (self.retrieval and not self.eva)
        space = block.attn(seen, num_queries)
        added = space[:, -s.shape[1] :]
        s = s + (block.ln_1(added) if self.eva else added)
        raw = '_raw' if self.eva else ''
        return {
            f'side.block0.conv{raw}': self._volume(time),
            f'side.block0.attn{raw}': self._tokens(space),
            f'side.block0.{"kv" if self.eva else "ln_1"}': self._tokens(seen),
            'side.block0.mlp': self._tokens(block.around(block.bn_2, block.mlp, s)),
        }

    def _ends(self, s: Tensor, tokens: list[Tensor]) -> dict[str, Tensor]:
        model = self.model['backbone']
        if not self.retrieval:
            return dict(feature=model.side.finish(s, tokens, model.trunk, self.num_frames))
        x = model.trunk.readout(tokens[0]) + model.side.to_trunk(model.side.pool(s))
        x = rearrange(x, '(b t) d -> b t d', t=self.num_frames)
        return dict(ln_post_in=x, norm_in=x)

    def _tokens(self, x: Tensor) -> Tensor:
        """(B·T, L, C) in the official layout: tokens first with CLIP trunks."""
        return x if self.eva else x.transpose(0, 1)

    def _volume(self, s: Tensor) -> Tensor:
        """(B·T, h·w, C) -> (B, C, T, h, w)."""
        height = self.model['backbone'].trunk.grid[0]
        return rearrange(s, '(b t) (h w) c -> b c t h w', t=self.num_frames, h=height)
