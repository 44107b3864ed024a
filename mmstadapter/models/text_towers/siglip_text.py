"""SigLIP's text transformer as a text tower."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter import weights

from ..ops.elementwise import LayerNorm
from ..ops.linear import Linear
from ..trunks.clip_vit import SIGLIP, CLIPBlock, Transformer
from .clip_text import CLIPText
from .embedding import Embedding

SHAPE_OPTIMISED = dict(embed_dims=1152, num_layers=27, num_heads=16, mlp_ratio=3.7362)
ARCHS: dict[str, dict] = {
    'siglip2-b': dict(embed_dims=768, num_layers=12, num_heads=12, output_dims=768),
    'siglip2-l': dict(embed_dims=1024, num_layers=24, num_heads=16, output_dims=1024),
    'siglip2-so400m': dict(**SHAPE_OPTIMISED, output_dims=1152),
    'siglip2-g': dict(**SHAPE_OPTIMISED, output_dims=1536),
}
EPS = 1e-6  # of its norms


@MODELS.register_module()
class SigLIPText(CLIPText):
    """SigLIP's text encoder (Zhai et al., 2023; SigLIP 2: Tschannen et al., 2025).

    Pre-norm blocks in which a token sees every other one, padding included, and a sentence that
    is read at its last place, mostly padding: so sentences must have exactly
    ``context_length`` tokens. Parameters carry open_clip's names without ``text.``; the
    projection has a bias.

    Args:
        arch: ``'siglip2-b'`` (of ViT-B/32 and B/16), ``'siglip2-l'``, ``'siglip2-so400m'``,
            ``'siglip2-g'`` (of ViT-gopt/16), or a dict as in `CLIPText` with SigLIP 2's
            256,000 ids and 64 places if it does not say otherwise, and perhaps
            ``mlp_ratio``, the width of the MLPs over D (4), and ``padding``, the id of it (0).
        checkpoint: path of a SigLIP file of open_clip or Hugging Face; the trunk's will do.
        tune, dtype, lora: see `CLIPText`.

    Raises:
        ValueError: for an unknown arch or tune, or missing keys.
    """

    archs = ARCHS
    optional = dict(vocab_size=256000, context_length=64, mlp_ratio=4, padding=0)
    activations = (SIGLIP,)
    whole_rows = True  # its tokenizer must fill them
    text_projection: nn.Linear  # type: ignore[assignment]

    def __init__(
        self,
        arch: str | dict = 'siglip2-b',
        checkpoint: str | None = None,
        tune: str = 'all',
        dtype: str | None = None,
        lora: dict | None = None,
    ) -> None:
        super().__init__(arch, checkpoint, tune, dtype, activation=SIGLIP, lora=lora)

    def _build(  # type: ignore[override]
        self,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        output_dims: int,
        vocab_size: int,
        context_length: int,
        mlp_ratio: float,
        padding: int,
    ) -> None:
        self.padding = padding
        self.token_embedding = Embedding(vocab_size, embed_dims)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, embed_dims))
        options: dict[str, Any] = dict(activation=SIGLIP, mlp_ratio=mlp_ratio, eps=EPS)
        self.transformer = Transformer(
            [CLIPBlock(embed_dims, num_heads, **options) for _ in range(num_layers)]
        )
        self.ln_final = LayerNorm(embed_dims, EPS)
        self.text_projection = Linear(embed_dims, output_dims)

    @property
    def to_joint(self) -> nn.Module:  # type: ignore[override]
        """The layer into the joint space, D -> E."""
        return self.text_projection

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """Final norm and projection."""
        yield from self.ln_final.parameters()
        yield from self.text_projection.parameters()

    def read_pretrained(self, checkpoint: str) -> Mapping[str, Tensor]:
        """The tensors of the text tower in a SigLIP file, under open_clip's names."""
        return weights.load_siglip_text(checkpoint)

    def sentences(self, words: Tensor, ids: Tensor) -> Tensor:
        """The last token of each, (B, L, E) -> (B, E)."""
        return words[:, -1]

    def mask(self, ids: Tensor) -> Tensor:
        """Which tokens are no padding, and the last, which stands for all, (B, L) bool."""
        mask = ids != self.padding
        mask[:, -1] = True
        return mask

    def without_padding(self, ids: Tensor) -> Tensor:
        """The same: the last place is read, and padding is looked at."""
        return ids

    def embed(self, ids: Tensor) -> Tensor:
        """Tokens with their positions, (B, L) -> (B, L, D), in float32 at least."""
        if ids.shape[-1:] != (self.context_length,):
            raise ValueError(
                f'SigLIPText: ids must be (B, {self.context_length}), got {tuple(ids.shape)}: a '
                'sentence is read at the last of its places, as in training. Set the '
                f"tokenizer's context_length to {self.context_length}."
            )
        return super().embed(ids)
