"""DiST's options: checks, choices and initial values."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..ops.clips import check_video
from ..ops.linear import InProjection
from ..trunks.base import Trunk
from .st_adapter import select_blocks

SPREAD = 0.02  # released: cut at 2, a hundred deviations away


def check_options(
    trunk: Trunk,
    blocks: str | Sequence[int],
    num_frames: int,
    stride: int,
    stem_frames: int,
    kernel_size: int,
) -> list[int]:
    """Indices of the layers that are read, or ValueError for what cannot be built."""
    if not trunk.has_class_token:
        raise ValueError(
            f'DiSTViT: {type(trunk).__name__} has no class token, which the feature starts from. '
            'Use a trunk that has one, such as CLIPViT.'
        )
    for name, size in dict(stem_frames=stem_frames, kernel_size=kernel_size).items():
        if size < 1 or size % 2 == 0:
            raise ValueError(
                f'DiSTViT: {name} must be odd, so that the number of frames is kept, got {size}. '
                'The released models have stem_frames=5 and kernel_size=3.'
            )
    if min(num_frames, stride) < 1:
        raise ValueError(
            f'DiSTViT: num_frames and stride must be positive, got {num_frames} and {stride}.'
        )
    return select_reads(blocks, len(trunk.blocks))


def select_reads(blocks: str | Sequence[int], num_blocks: int) -> list[int]:
    """Indices of the trunk layers that are read, -1 for the tokens before the first.

    Raises:
        ValueError: for an unknown choice or layers the trunk does not have.
    """
    if isinstance(blocks, str) or -1 not in blocks:
        return select_blocks(blocks, num_blocks, 'DiSTViT')
    after = [i for i in blocks if i != -1]
    return [-1, *(select_blocks(after, num_blocks, 'DiSTViT') if after else ())]


def whole_strides(video: Tensor, stride: int) -> Tensor:
    """Clips (B, 3, T, H, W), their last frame repeated until ``stride`` divides T."""
    check_video(video, 'DiSTViT')
    lacking = -video.shape[2] % stride
    if not lacking:
        return video
    return torch.cat([video, video[:, :, -1:].expand(-1, -1, lacking, -1, -1)], dim=2)


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """The released initial values of all but the trunk.

    Linear maps, convolutions, tokens and positions N(0, 0.02), biases zero, the last
    projection N(0, 1/sqrt(M)); queries, keys and values of attention as PyTorch has them.
    """
    own = [child for name, child in model.named_children() if name != 'trunk']
    for module in (m for child in own for m in child.modules()):
        if isinstance(module, nn.Linear | nn.Conv3d) and not isinstance(module, InProjection):
            nn.init.normal_(module.weight, std=SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith(('query', 'cls_token', 'positions')) and not name.startswith('trunk.'):
            nn.init.normal_(parameter, std=SPREAD)
    if isinstance(model.proj, nn.Linear):
        nn.init.normal_(model.proj.weight, std=model.proj.in_features**-0.5)
