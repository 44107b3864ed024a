"""A small transformer over the frame vectors of a video (CLIP4Clip's "sequential type")."""

import torch
from torch import Tensor, nn

from ..lora import own_tensors
from ..ops.linear import InProjection
from ..trunks.clip_vit import MLP, Attention

INITS = ('normal', 'text_tower')


class FrameBlock(nn.Module):
    """Pre-norm block under the names of `CLIPBlock`, in which padded frames are not seen.

    Args:
        embed_dims: width E.
        num_heads: attention heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(embed_dims, eps=1e-12)  # CLIP4Clip's, not CLIP's 1e-5
        self.attn = Attention(embed_dims, num_heads)
        self.ln_2 = nn.LayerNorm(embed_dims, eps=1e-12)
        self.mlp = MLP(embed_dims, 4 * embed_dims, 'quick_gelu')

    def forward(self, x: Tensor, frames: Tensor | None) -> Tensor:
        """(B, T, E), (B, 1, 1, T) true where there is a frame -> (B, T, E)."""
        x = x + self.attn(self.ln_1(x), bias=frames)
        return x + self.mlp(self.ln_2(x))


class FrameTransformer(nn.Module):
    """frames + Transformer(frames + positions), without a last norm.

    CLIP4Clip (Luo et al., 2021), section 3.3, "sequential type", transformer variant, as
    released: quick GELU, layer norms with an epsilon of 1e-12.

    Args:
        embed_dims: width E of the joint space.
        num_layers: blocks; 4 in CLIP4Clip.
        num_heads: attention heads; by default one for 64 channels.
        max_frames: rows of the position table; 77 in CLIP4Clip, where it is a copy of the
            text tower's.
        init: ``'normal'``, linear maps and positions from N(0, 0.02) (Side4Video), or
            ``'text_tower'``, positions and blocks copied from the text tower when a
            retriever initialises its weights (CLIP4Clip).

    Raises:
        ValueError: for an unknown ``init``, or heads that do not divide the width.
    """

    def __init__(
        self,
        embed_dims: int,
        num_layers: int = 4,
        num_heads: int | None = None,
        max_frames: int = 77,
        init: str = 'normal',
    ) -> None:
        super().__init__()
        num_heads = max(1, embed_dims // 64) if num_heads is None else num_heads
        if init not in INITS:
            raise ValueError(f'FrameTransformer: init must be one of {INITS}, got {init!r}.')
        if num_heads < 1 or embed_dims % num_heads:
            raise ValueError(
                f'FrameTransformer: embed_dims must be a multiple of num_heads, got {embed_dims} '
                f'and {num_heads}.'
            )
        self.init = init
        self.positions = nn.Parameter(torch.empty(max_frames, embed_dims))
        self.blocks = nn.ModuleList(FrameBlock(embed_dims, num_heads) for _ in range(num_layers))
        nn.init.normal_(self.positions, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear) and not isinstance(module, InProjection):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, E), mask (B, T) true for frames -> (B, T, E).

        Raises:
            ValueError: if there are more frames than positions.
        """
        num_frames = frames.shape[1]
        if num_frames > len(self.positions):
            raise ValueError(
                f'FrameTransformer: videos must have at most max_frames = {len(self.positions)} '
                f'frames, got {num_frames}. Sample fewer frames or raise max_frames.'
            )
        seen = None if mask is None else mask.bool()[:, None, None]
        x = frames + self.positions[:num_frames]
        for block in self.blocks:
            x = block(x, seen)
        return x + frames

    @torch.no_grad()
    def start_from(self, text_tower: nn.Module) -> None:
        """Copy positions and the first blocks of a CLIP text tower (CLIP4Clip, released code).

        Raises:
            ValueError: if the tower is of another width or has fewer blocks.
        """
        table = text_tower.positional_embedding
        blocks = text_tower.transformer.resblocks
        if table.shape[1] != self.positions.shape[1] or len(blocks) < len(self.blocks):
            raise ValueError(
                f"FrameTransformer: init='text_tower' needs a text tower of width "
                f'{self.positions.shape[1]} and at least {len(self.blocks)} blocks, got width '
                f"{table.shape[1]} and {len(blocks)} blocks. Set init='normal'."
            )
        rows = min(len(table), len(self.positions))
        self.positions[:rows] = table[:rows]
        for ours, theirs in zip(self.blocks, blocks, strict=False):
            ours.load_state_dict(own_tensors(theirs))
