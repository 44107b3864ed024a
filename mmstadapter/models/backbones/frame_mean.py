"""A trunk applied to every frame, features averaged over time: no temporal modelling."""

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..parts import built_trunk
from .beside import rows_of
from .outputs import check_output, join_frames, out_width


@MODELS.register_module()
class FrameMeanViT(BaseModule):
    """Mean of the frames' class tokens; what the trunk's ``tune`` says is trained.

    The baseline of ST-Adapter's Table 1: ``tune='none'`` is the linear probe,
    ``'last_1'`` partial fine-tuning, ``'bias'`` BitFit, ``'all'`` full fine-tuning.
    Its output does not depend on the order of the frames, but with a video encoder as the
    trunk, whose feature of the clip it is.

    Args:
        trunk: the pretrained image encoder or its config.
        output: ``'clip'``, (B, D), or ``'frames'`` for retrieval, one joint image-text
            vector a frame, (B, T, E): plain CLIP.
    """

    def __init__(self, trunk: dict | nn.Module, output: str = 'clip') -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'FrameMeanViT', clips=True)
        self.output = check_output(output, self.trunk, 'FrameMeanViT')

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return out_width(self.trunk, self.output)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D) or (B, T, E), see ``output``, for any T."""
        given, _ = rows_of(self.trunk, video)
        x = self.trunk.embed(given)
        for i, block in enumerate(self.trunk.blocks):
            x = block(x, self.trunk.num_queries(i))
        num_frames = x.shape[0] // video.shape[0]
        return join_frames(self.trunk, self.trunk.readout(x), num_frames, self.output)
