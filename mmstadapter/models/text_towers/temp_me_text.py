"""CLIP's text transformer with low-rank maps, as TempMe trains it."""

from mmaction.registry import MODELS
from torch import Tensor

from ..ops.low_rank import Beside, low_rank_maps
from .clip_text import CLIPText


@MODELS.register_module()
class TempMeText(CLIPText):
    """`CLIPText`, frozen, with a trained B A beside queries, keys and values of every block.

    The counterpart of `TempMeViT` (Shen et al., ICLR 2025), which also masks padding: that
    stands behind the end of the text, where causality hides it anyway.

    Args:
        arch, checkpoint, tune, dtype, activation, lora: see `CLIPText`; frozen by default.
        lora_dims: rank of B A; 0 for none.
    """

    def __init__(
        self,
        arch: str | dict = 'clip-b',
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        activation: str = 'quick_gelu',
        lora: dict | None = None,
        lora_dims: int = 8,
    ) -> None:
        super().__init__(arch, checkpoint, tune, dtype, activation, lora)
        blocks, width = self.transformer.resblocks, self.positional_embedding.shape[1]
        self.low_rank = low_rank_maps(blocks, width, lora_dims)

    def encode(self, ids: Tensor) -> Tensor:
        """Tokens after the last block, (B, L) -> (B, L, D), before norm and projection."""
        x = self.embed(ids)
        for i, block in enumerate(self.transformer.resblocks):
            seams = Beside(self.low_rank[i] if self.low_rank else None)
            x = block.feed_forward(block.attend(x, pre=seams.pre, mix=seams.mix))
        return x
