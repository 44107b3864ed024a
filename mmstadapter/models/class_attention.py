"""Where a model looks in each frame of a clip, in its last block.

The class token's attention (ST-Adapter, Figure 3), or of a side network, which averages its
patches, their mean attention (Side4Video, Figure 6).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .backbones import AttnPoolViT, FrameMeanViT, Side4VideoViT
from .backbones.beside import class_and_patches, trunk_layers
from .ops.clips import images_of
from .trunks import Trunk


@torch.no_grad()
def class_attention(backbone: nn.Module, video: Tensor) -> Tensor:
    """The attention of what is read (see above) in a backbone's last block.

    Args:
        backbone: one that offers ``trace`` (`STAdapterViT`), one with a side network
            (`Side4VideoViT`), or one that applies its trunk to each frame as it is
            (`FrameMeanViT`, `AttnPoolViT`).
        video: normalised clips (B, 3, T, H, W).

    Returns:
        (B, T, heads, L), L tokens with the class token and registers first; rows sum to one.

    Raises:
        TypeError: for other backbones, and for trunks whose attention cannot be had.
    """
    if isinstance(backbone, FrameMeanViT | AttnPoolViT):
        return image_class_attention(backbone.trunk, video)
    if isinstance(backbone, Side4VideoViT):
        return _side_attention(backbone, video)
    if not hasattr(backbone, 'trace'):
        raise TypeError(
            f'class_attention: {type(backbone).__name__} offers no `trace`, so what its last '
            'block is given cannot be had. Backbones that can be seen: STAdapterViT, '
            'Side4VideoViT, FrameMeanViT, AttnPoolViT.'
        )
    return _look(backbone.trunk, _last_input(backbone, video), video.shape[2])


@torch.no_grad()
def image_class_attention(trunk: Trunk, video: Tensor) -> Tensor:
    """The same of a trunk without adapters, frame by frame. (B, 3, T, H, W) -> (B, T, heads, L)."""
    x = trunk.embed(images_of(video))
    for block in list(trunk.blocks)[:-1]:
        x = block(x)
    return _look(trunk, x, video.shape[2])


def patch_maps(weights: Tensor, trunk: Trunk, head: int | None = None) -> Tensor:
    """Attention to the patches as pictures, in multiples of an even share.

    Args:
        weights: (..., heads, L) as from `class_attention`.
        trunk: the trunk they are of.
        head: one head, or ``None`` for the mean over heads.

    Returns:
        (..., h, w); 1 is what each of the L tokens would get of an even attention.

    Raises:
        ValueError: if there is no such head.
    """
    heads, num_tokens = weights.shape[-2:]
    if head is not None and not 0 <= head < heads:
        raise ValueError(f'patch_maps: head must be from 0 to {heads - 1}, got {head}.')
    chosen = weights.mean(dim=-2) if head is None else weights[..., head, :]
    patches = chosen[..., trunk.num_prefix_tokens :] * num_tokens
    return rearrange(patches, '... (h w) -> ... h w', h=trunk.grid[0])


def _last_input(backbone: nn.Module, video: Tensor) -> Tensor:
    """What the last block's attention is given, (B·T, L, D)."""
    last = len(backbone.trunk.blocks) - 1
    before = (f'{last}.before_attn', f'{last - 1}' if last else 'embed')
    found: dict[str, Tensor] = {}
    for name, x in backbone.trace(video):
        if name in before:
            found[name] = x
        if name in (f'{last}.after_attn', str(last)):
            break
    return next(found[name] for name in before if name in found)


def _look(trunk: Trunk, x: Tensor, num_frames: int) -> Tensor:
    """Tokens (B·T, L, D) before the last block -> (B, T, heads, L)."""
    if not trunk.has_class_token:
        raise TypeError(
            f'class_attention: this {type(trunk).__name__} has no class token, so there is no '
            'attention of it to see.'
        )
    weights = trunk.blocks[-1].class_attention(x)
    return rearrange(weights, '(b t) heads tokens -> b t heads tokens', t=num_frames)


def _side_attention(backbone: Side4VideoViT, video: Tensor) -> Tensor:
    """Mean attention of the side tokens that are read. (B, 3, T, H, W) -> (B, T, heads, L).

    What goes to class tokens is summed at index 0, so that the patches follow the trunk's
    prefix as elsewhere.
    """
    side, trunk, num_frames = backbone.side, backbone.trunk, video.shape[2]
    s, last = side.start(video), side.reads[-1]
    for i, tokens in enumerate(trunk_layers(trunk, video, last, backbone.frames_per_pass)):
        if i < last:
            s = side.read(s, i, tokens, trunk, num_frames)
    weights = side.blocks[-1].attention(
        s, class_and_patches(tokens, trunk), side.position_embedding, num_frames
    )
    queries = weights if side.representation == 'avg_pool' else weights[:, :, :1]
    weights = queries.mean(dim=2)
    num_patches = trunk.grid[0] * trunk.grid[1]
    classes = weights[..., :-num_patches].sum(dim=-1, keepdim=True)
    classes = F.pad(classes, (0, trunk.num_prefix_tokens - 1))
    weights = torch.cat([classes, weights[..., -num_patches:]], dim=-1)
    return rearrange(weights, '(b t) heads tokens -> b t heads tokens', t=num_frames)
