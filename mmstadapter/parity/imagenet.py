"""An ImageNet transformer as a trunk: timm's, or where timm is not installed a plain one."""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.ops.attention import join_heads
from ..models.trunks.block import Change, through
from ..models.trunks.timm_blocks import TimmBlock
from ..models.trunks.timm_vit import TimmViT
from ..models.trunks.wrapped import WrappedViT, library_heads

EPS = 1e-6


def imagenet_trunk(constructor: dict) -> nn.Module:
    """The trunk of official constructor arguments, its last norm trained."""
    c = constructor
    sides = c['img_size'] if isinstance(c['img_size'], list) else [c['img_size']] * 2
    options = dict(
        img_size=tuple(sides),
        patch_size=c['patch_size'],
        embed_dim=c['embed_dim'],
        depth=c['depth'],
        num_heads=c['num_heads'],
        mlp_ratio=c.get('mlp_ratio', 4.0),
    )
    if find_spec('timm') is not None:
        return TimmViT('vit_base_patch16_224', options, tune='after_blocks')
    return PlainTrunk(**options)


class Attention(nn.Module):
    """Self-attention under timm's names."""

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.attn_drop = num_heads, 0.0
        self.qkv, self.proj = nn.Linear(dims, 3 * dims), nn.Linear(dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        """(M, L, D) -> same."""
        return self.proj(join_heads(F.scaled_dot_product_attention(*library_heads(self, x))))


class PlainBlock(nn.Module):
    """A pre-norm block under timm's names."""

    def __init__(self, dims: int, num_heads: int, inside: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dims, EPS), Attention(dims, num_heads)
        self.norm2, self.mlp = nn.LayerNorm(dims, EPS), nn.Sequential()
        for name, layer in (
            ('fc1', nn.Linear(dims, inside)),
            ('act', nn.GELU()),
            ('fc2', nn.Linear(inside, dims)),
        ):
            self.mlp.add_module(name, layer)
        self.drop_path1 = self.drop_path2 = nn.Identity()


class PlainTrunk(WrappedViT):
    """timm's ``VisionTransformer`` with a class token, as `TimmViT` wraps it.

    Args:
        img_size: (height, width) in pixels.
        patch_size, embed_dim, depth, num_heads, mlp_ratio: as timm has them.
    """

    num_prefix_tokens = 1

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
    ) -> None:
        super().__init__(tune='after_blocks')
        self.img_size, self.patch_size, self.embed_dims = img_size, patch_size, embed_dim
        self.grid = (img_size[0] // patch_size, img_size[1] // patch_size)
        self.vit = vit = nn.Module()
        vit.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        vit.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], embed_dim))
        vit.patch_embed = nn.Module()
        vit.patch_embed.proj = nn.Conv2d(3, embed_dim, patch_size, patch_size)
        inside = int(embed_dim * mlp_ratio)
        vit.blocks = nn.ModuleList(PlainBlock(embed_dim, num_heads, inside) for _ in range(depth))
        vit.norm = nn.LayerNorm(embed_dim, EPS)
        self.wrapped = [TimmBlock(block, vit, i) for i, block in enumerate(vit.blocks)]
        self.freeze()

    def parameters_after_blocks(self):
        """The last norm's."""
        return self.vit.norm.parameters()

    def embed(self, frames: Tensor, pre: Change | None = None) -> Tensor:
        """(M, 3, H, W) -> (M, 1+N, D)."""
        self.check_frames(frames)
        x = self.vit.patch_embed.proj(frames).flatten(2).transpose(1, 2)
        cls = self.vit.cls_token.expand(len(x), -1, -1)
        return through(pre, torch.cat([cls, x], dim=1) + self.vit.pos_embed)

    def final_norm(self, x: Tensor) -> Tensor:
        """(..., D) -> same."""
        return self.vit.norm(x)
