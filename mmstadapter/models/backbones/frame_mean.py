"""A trunk applied to every frame, features averaged over time: no temporal modelling."""

from collections.abc import Sequence

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..parts import built_trunk
from .beside import rows_of
from .by_frame import ByFrame, Looked, joined
from .outputs import check_output, join_frames, out_width


@MODELS.register_module()
class FrameMeanViT(ByFrame, BaseModule):
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
        return self.finish(video, [self.look(given)])

    def look(self, images: Tensor) -> Looked:
        """The class tokens. (M, 3, H, W), of a video encoder clips -> (M, D)."""
        x = self.trunk.embed(images)
        for i, block in enumerate(self.trunk.blocks):
            x = block(x, self.trunk.num_queries(i))
        return (self.trunk.readout(x),)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """Their mean; see `ByFrame`."""
        x = joined(looked)
        return join_frames(self.trunk, x, x.shape[0] // video.shape[0], self.output)
