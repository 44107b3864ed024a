"""Visual prompt tuning: learned tokens beside the patches of a frozen image transformer.

Jia et al., "Visual Prompt Tuning", ECCV 2022; the baseline "Prompt Tuning" of
ST-Adapter's Table 1.
"""

from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import images_of
from ..parts import built_trunk
from .by_frame import ByFrame, Looked, joined
from .outputs import join_frames


@MODELS.register_module()
class PromptViT(ByFrame, BaseModule):
    """Frozen trunk with deep visual prompts; class tokens averaged over time.

    VPT-Deep (Jia et al., Eq. 5): every block sees its own prompts beside the tokens
    of each frame, and what it makes of them is thrown away. So prompts act through
    the keys and values of attention alone, and their queries and MLP are not
    computed. The output does not depend on the order of the frames.

    Args:
        trunk: the pretrained image encoder or its config, one without rotary positions.
        num_prompts: prompts a block. 128 gives the 1.18 M parameters of ST-Adapter's
            Table 1 (12 x 128 x 768, without the classifier); the paper does not say.

    Raises:
        ValueError: if there are no prompts.
    """

    def __init__(self, trunk: dict | nn.Module, num_prompts: int = 128) -> None:
        super().__init__()
        if num_prompts < 1:
            raise ValueError(
                f'PromptViT: num_prompts must be positive, got {num_prompts}. '
                'Use FrameMeanViT for a trunk without prompts.'
            )
        self.trunk = built_trunk(trunk, 'PromptViT')
        dims = self.trunk.embed_dims
        self.prompts = nn.Parameter(torch.empty(len(self.trunk.blocks), num_prompts, dims))
        bound = (3 / dims) ** 0.5  # VPT's for ViT-B/16, where a patch has D values as well
        nn.init.uniform_(self.prompts, -bound, bound)

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.trunk.embed_dims

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        return self.finish(video, [self.look(images_of(video))])

    def look(self, images: Tensor) -> Looked:
        """The class tokens. (M, 3, H, W) -> (M, D)."""
        x = self.trunk.embed(images)
        for i, block in enumerate(self.trunk.blocks):
            queries = self.trunk.num_queries(i) or x.shape[1]
            x = block.attend(beside(x, self.prompts[i]), num_queries=queries)
            x = block.feed_forward(x)
        return (self.trunk.readout(x),)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """Their mean; see `ByFrame`."""
        return join_frames(self.trunk, joined(looked), video.shape[2])


def beside(x: Tensor, prompts: Tensor) -> Tensor:
    """Tokens (M, L, D) and prompts (P, D) -> (M, L+P, D), the prompts behind the tokens."""
    return torch.cat([x, prompts.to(x.dtype).expand(x.shape[0], -1, -1)], dim=1)
