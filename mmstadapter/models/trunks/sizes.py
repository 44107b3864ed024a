"""Sizes of an image transformer: arch tables, input sizes, position tables."""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.logging import print_log
from torch import Tensor

REQUIRED = ('img_size', 'patch_size', 'embed_dims', 'num_layers', 'num_heads')


def resolve_arch(
    who: str,
    arch: str | dict,
    archs: Mapping[str, dict],
    optional: Collection[str],
    required: Collection[str] = REQUIRED,
) -> dict:
    """The sizes of a named arch, or a user's own, checked.

    Args:
        who: class that asks, for the message.
        arch: a name in ``archs``, or a dict with ``required`` and any of ``optional``.
        archs: the named ones.
        optional: further keys a dict may have.
        required: keys a dict must have.

    Raises:
        ValueError: for an unknown name, missing or unknown keys.
    """
    if isinstance(arch, str):
        if arch not in archs:
            raise ValueError(
                f'{who}: unknown arch {arch!r}; choose from {", ".join(archs)} or give a dict '
                f'with {", ".join(required)}.'
            )
        return dict(archs[arch])
    missing = [key for key in required if key not in arch]
    surplus = [key for key in arch if key not in (*required, *optional)]
    if missing or surplus:
        raise ValueError(
            f'{who}: an arch dict needs {", ".join(required)} (and may have '
            f'{", ".join(optional)}); missing {missing or "none"}, unknown {surplus or "none"}.'
        )
    return dict(arch)


def resolve_size(
    who: str, size: int | tuple[int, int], patch_size: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Input size (height, width) in pixels, and the grid of whole patches in it.

    Raises:
        ValueError: if not one patch fits.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < patch_size:
        raise ValueError(
            f'{who}: img_size must be at least one patch of {patch_size} pixels, '
            f'got {(height, width)}.'
        )
    return (height, width), (height // patch_size, width // patch_size)


def check_frames(who: str, frames: Tensor, img_size: tuple[int, int]) -> None:
    """Raise unless frames (M, 3, H, W) have the trunk's size."""
    if tuple(frames.shape[-2:]) != img_size:
        raise ValueError(
            f'{who}: frames must be {img_size} pixels (height, width), got '
            f'{tuple(frames.shape[-2:])}. Crop to that size in the pipeline, or set '
            'model.backbone.trunk.img_size.'
        )


def resample_positions(table: Tensor, grid: tuple[int, int], who: str = 'CLIPViT') -> Tensor:
    """Fit a table of a square grid to another grid, bicubic; the class row is kept.

    Args:
        table: (1 + side², D), class row first.
        grid: patches (down, across) wanted.
        who: class that asks, for messages.

    Returns:
        (1 + h*w, D); the same tensor if the grid is the same.
    """
    side = round((len(table) - 1) ** 0.5)
    if 1 + side**2 != len(table):
        raise ValueError(
            f'{who}: only position tables of square grids can be resampled, got {len(table)} rows.'
        )
    if (side, side) == grid:
        return table
    cls, patches = table[:1], rearrange(table[1:].float(), '(h w) d -> 1 d h w', h=side)
    patches = F.interpolate(patches, size=grid, mode='bicubic', align_corners=False, antialias=True)
    print_log(
        f'{who}: position table resampled from {side}x{side} to {grid[0]}x{grid[1]}', 'current'
    )
    return torch.cat([cls.float(), rearrange(patches, '1 d h w -> (h w) d')]).to(table.dtype)
