"""XViT: attention whose keys and values mix the channels of neighbouring frames.

Bulat et al., "Space-time Mixing Attention for Video Transformer", NeurIPS 2021; the
architecture "SA + TS" of ST-Adapter's Table 1.
"""

from functools import partial

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.clips import images_of
from ..ops.depthwise import shift
from ..ops.elementwise import LayerNorm
from ..ops.linear import Linear
from ..ops.positions import add_time
from ..parts import built_trunk
from ..trunks.block import require_mix
from ..trunks.clip_vit import CLIPBlock


def mix_frames(x: Tensor, num_frames: int, num_heads: int, shift_div: int = 4) -> Tensor:
    """Keys or values, part of whose channels come from the next and the previous frame.

    Space-time mixing (Bulat et al., section 3.2) with a window of three frames: of every
    head's d channels the first d / shift_div are the next frame's, as many more the
    previous frame's, the rest the frame's own. Beyond the clip's ends they are zero.

    Args:
        x: (B·T, L, heads·d), clip-major.
        num_frames: T.
        num_heads: heads.
        shift_div: 4 in the released code: a quarter, a quarter, a half.

    Returns:
        (B·T, L, heads·d).
    """
    x = rearrange(x, '(b t) l (h d) -> b t h l d', t=num_frames, h=num_heads)
    fold = x.shape[-1] // shift_div
    x = torch.cat(
        [shift(x[..., :fold], 1), shift(x[..., fold : 2 * fold], -1), x[..., 2 * fold :]], dim=-1
    )
    return rearrange(x, 'b t h l d -> (b t) l (h d)')


@MODELS.register_module()
class XViT(BaseModule):
    """A trunk with space-time mixing attention, a transformer block over time behind it.

    The image model's attention is changed from the first step, so the trunk is meant to
    be trained (``trunk.tune='all'``); ST-Adapter's section 4.1 notes that methods with a
    frozen trunk do not go with this architecture.

    Args:
        trunk: the pretrained image encoder or its config; its blocks must offer
            ``attend(x, mix=...)``, which changes keys and values.
        num_frames: rows of the table of time positions; other clip lengths take the
            nearest rows.
        num_heads: heads of the block over time; one for each 64 channels by default.
        shift_div: see `mix_frames`.

    Raises:
        ValueError: if the trunk cannot mix, or less than nothing is left unshifted.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        num_frames: int = 8,
        num_heads: int | None = None,
        shift_div: int = 4,
    ) -> None:
        super().__init__()
        if shift_div < 2:
            raise ValueError(
                f'XViT: shift_div must be at least 2 (half of the channels from each side), '
                f'got {shift_div}. The released code has 4.'
            )
        self.trunk = built_trunk(trunk, 'XViT')
        require_mix(self.trunk, 'XViT')
        self.shift_div = shift_div
        dims = self.trunk.embed_dims
        self.time_embed = nn.Parameter(torch.zeros(num_frames, dims))
        self.cls_token = nn.Parameter(torch.zeros(dims))
        self.temporal = CLIPBlock(dims, num_heads or max(1, dims // 64))
        self.ln = LayerNorm(dims)
        self.fc = Linear(dims, dims)

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.trunk.embed_dims

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        num_frames = video.shape[2]
        x = self.trunk.embed(images_of(video))
        x = add_time(x, self.time_embed, num_frames)
        mix = partial(self.mix, num_frames=num_frames)
        for i, block in enumerate(self.trunk.blocks):
            x = block.attend(x, num_queries=self.trunk.num_queries(i), mix=mix)
            x = block.feed_forward(x)
        frames = self.trunk.final_norm(self.trunk.readout(x))
        return self.pool(rearrange(frames, '(b t) d -> b t d', t=num_frames))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, num_frames: int) -> tuple[Tensor, ...]:
        """Keys and values of a block, mixed over frames, each (B·T, L, D)."""
        heads = self.trunk.blocks[0].attn.num_heads
        return q, *(mix_frames(x, num_frames, heads, self.shift_div) for x in (k, v))

    def pool(self, frames: Tensor) -> Tensor:
        """Features of the frames (B, T, D) -> (B, D), read by a class token over time.

        XViT's temporal attention (section 3.3) and the hidden layer of its classifier.
        """
        cls = self.cls_token.to(frames.dtype).expand(frames.shape[0], 1, -1)
        x = self.temporal.attend(torch.cat([cls, frames], dim=1), num_queries=1)
        x = self.ln(self.temporal.feed_forward(x)[:, 0])
        return F.gelu(self.fc(x))
