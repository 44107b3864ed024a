"""TimeSformer: temporal attention before the spatial attention of every block.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?",
ICML 2021; the architecture "SA + TA" of ST-Adapter's Table 1.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import images_of
from ..ops.elementwise import LayerNorm
from ..ops.linear import Linear
from ..ops.positions import time_positions
from ..parts import built_trunk
from ..trunks.clip_vit import Attention
from .outputs import join_frames
from .st_adapter import select_blocks

CLASS_TOKENS = ('clip', 'frame')


class TemporalAttention(nn.Module):
    """Each place of the patch grid attends to itself over time.

    The temporal half of divided space-time attention (Bertasius et al., Eq. 5-7): norm,
    attention over the T tokens of a place, a linear map, residual. Tokens before the
    patches pass through. Starts as the identity: the linear map is zero, in the first
    block as well, which the released code leaves random.

    Args:
        embed_dims: width D.
        num_heads: attention heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.ln = LayerNorm(embed_dims)
        self.attn = Attention(embed_dims, num_heads)
        self.fc = Linear(embed_dims, embed_dims)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor, num_frames: int, prefix: int = 1) -> Tensor:
        """(B·T, prefix+N, D) -> same, with T = num_frames and clip-major rows."""
        places = rearrange(x[:, prefix:], '(b t) n d -> (b n) t d', t=num_frames)
        u = self.fc(self.attn(self.ln(places)))
        u = rearrange(u, '(b n) t d -> (b t) n d', n=x.shape[1] - prefix)
        return torch.cat([x[:, :prefix], x[:, prefix:] + u], dim=1)


@MODELS.register_module()
class TimeSformerViT(BaseModule):
    """A trunk with temporal attention before the attention of each block.

    ``trunk.tune`` makes the three rows of ST-Adapter's Table 1: ``'none'`` is temporal
    fine-tuning, ``'all'`` the full one, ``'last_1'`` with ``blocks='last_1'`` the partial
    one. Starts as the image model on clips that stand still, and on every clip with
    ``class_token='frame'``.

    Args:
        trunk: the pretrained image encoder or its config.
        num_frames: rows of the table of time positions; other clip lengths take the
            nearest rows.
        num_heads: heads of the temporal attention; one for each 64 channels by default.
        blocks: which blocks have temporal attention: ``'all'``, ``'first_<n>'``,
            ``'last_<n>'`` or a list of indices from 0. Time positions are added before
            the first of them.
        class_token: ``'clip'`` averages the class token over time after the spatial
            attention of these blocks, as TimeSformer does; ``'frame'`` leaves one a
            frame, as the image model has them, to be averaged at the end.

    Raises:
        ValueError: for unknown blocks or class tokens.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        num_frames: int = 8,
        num_heads: int | None = None,
        blocks: str | Sequence[int] = 'all',
        class_token: str = 'clip',
    ) -> None:
        super().__init__()
        if class_token not in CLASS_TOKENS:
            raise ValueError(
                f'TimeSformerViT: class_token must be one of {", ".join(CLASS_TOKENS)}, '
                f'got {class_token!r}.'
            )
        self.trunk = built_trunk(trunk, 'TimeSformerViT')
        self.class_token = class_token
        dims = self.trunk.embed_dims
        heads = num_heads or max(1, dims // 64)
        indices = select_blocks(blocks, len(self.trunk.blocks), 'TimeSformerViT')
        self.first = indices[0]
        self.time_embed = nn.Parameter(torch.zeros(num_frames, dims))
        self.temporal = nn.ModuleDict({str(i): TemporalAttention(dims, heads) for i in indices})

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.trunk.embed_dims

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        num_frames = video.shape[2]
        x = self.trunk.embed(images_of(video))
        for i, block in enumerate(self.trunk.blocks):
            if i == self.first:
                x = self.add_time(x, num_frames)
            if str(i) in self.temporal:
                x = self.temporal[str(i)](x, num_frames, self.trunk.num_prefix_tokens)
            x = block.attend(x, num_queries=self.trunk.num_queries(i))
            if str(i) in self.temporal and self.class_token == 'clip':
                x = share_over_time(x, num_frames, self.trunk.num_prefix_tokens)
            x = block.feed_forward(x)
        return join_frames(self.trunk, self.trunk.readout(x), num_frames)

    def add_time(self, x: Tensor, num_frames: int) -> Tensor:
        """Add a frame's time position to its patches. (B·T, prefix+N, D) -> same."""
        prefix = self.trunk.num_prefix_tokens
        time = time_positions(self.time_embed, num_frames).to(x.dtype)
        time = time.repeat(x.shape[0] // num_frames, 1)[:, None]
        return torch.cat([x[:, :prefix], x[:, prefix:] + time], dim=1)


def share_over_time(x: Tensor, num_frames: int, prefix: int) -> Tensor:
    """Replace the tokens before the patches by their mean over the clip's frames.

    (B·T, L, D) -> same.
    """
    tokens = rearrange(x[:, :prefix], '(b t) p d -> b t p d', t=num_frames)
    mean = tokens.mean(dim=1, keepdim=True).expand_as(tokens)
    return torch.cat([rearrange(mean, 'b t p d -> (b t) p d'), x[:, prefix:]], dim=1)
