"""Attentive pooling: a learned query reads the frames' features of a frozen image model.

The baseline "Attentional Pooling" of ST-Adapter's Table 1, after the temporal attention of
Bulat et al., "Space-time Mixing Attention for Video Transformer", NeurIPS 2021.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import images_of
from ..ops.elementwise import LayerNorm
from ..parts import built_trunk
from ..trunks.clip_vit import Attention
from .by_frame import ByFrame, Looked, joined


class AttentionPool(nn.Module):
    """One learned query attends to a clip's frames: its residual is the clip's feature.

    The attention half of XViT's temporal block (Bulat et al., section 3.3): class token,
    norm, self-attention read at the class token, residual. Frames carry no positions, so
    their order does not matter.

    Args:
        embed_dims: width D.
        num_heads: attention heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(embed_dims))
        self.ln = LayerNorm(embed_dims)
        self.attn = Attention(embed_dims, num_heads)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, D) -> (B, D)."""
        query = self.query.to(frames.dtype).expand(frames.shape[0], 1, -1)
        x = torch.cat([query, frames], dim=1)
        return (query + self.attn(self.ln(x), num_queries=1))[:, 0]


@MODELS.register_module()
class AttnPoolViT(ByFrame, BaseModule):
    """Frozen trunk applied to every frame; its features pooled by attention over time.

    Section 4.1 (5) of ST-Adapter: the mean over time is replaced by temporal attention
    pooling. 2.36 M parameters on ViT-B, without the classifier.

    Args:
        trunk: the pretrained image encoder or its config.
        num_heads: heads of the pooling attention; one for each 64 channels by default.
    """

    def __init__(self, trunk: dict | nn.Module, num_heads: int | None = None) -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'AttnPoolViT')
        dims = self.trunk.embed_dims
        self.pool = AttentionPool(dims, num_heads or max(1, dims // 64))

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.trunk.embed_dims

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        return self.finish(video, [self.look(images_of(video))])

    def look(self, images: Tensor) -> Looked:
        """The frames' features. (M, 3, H, W) -> (M, D)."""
        x = self.trunk.embed(images)
        for i, block in enumerate(self.trunk.blocks):
            x = block(x, self.trunk.num_queries(i))
        return (self.trunk.final_norm(self.trunk.readout(x)),)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """Pool them; see `ByFrame`."""
        return self.pool(rearrange(joined(looked), '(b t) d -> b t d', t=video.shape[2]))
