"""CLIP's text transformer as a text tower."""

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.elementwise import LayerNorm
from ..trunks.clip_vit import CLIPBlock


class _Transformer(nn.Module):
    """Holder of the blocks, for OpenAI's names ``transformer.resblocks.<i>``."""

    def __init__(self, blocks: list[CLIPBlock]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)


@MODELS.register_module()
class CLIPText(BaseModule):
    """CLIP's text encoder (Radford et al., 2021, section 2.4): token ids in, features out.

    Pre-norm blocks in which a token sees itself and earlier ones. Parameters carry
    OpenAI's names. A sentence is read at its end-of-text token, which must have the
    largest id in the row; whatever follows it (padding) has no influence.

    Args:
        vocab_size: number of token ids; 49408 in CLIP.
        context_length: longest sentence in tokens, both ends included.
        embed_dims: width of the transformer.
        num_layers: blocks.
        num_heads: attention heads; CLIP has one for 64 channels.
        output_dims: width E of the joint image-text space.
    """

    def __init__(
        self,
        vocab_size: int = 49408,
        context_length: int = 77,
        embed_dims: int = 512,
        num_layers: int = 12,
        num_heads: int = 8,
        output_dims: int = 512,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, embed_dims)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, embed_dims))
        self.transformer = _Transformer(
            [CLIPBlock(embed_dims, num_heads, causal=True) for _ in range(num_layers)]
        )
        self.ln_final = LayerNorm(embed_dims)
        self.text_projection = nn.Parameter(torch.empty(embed_dims, output_dims))
        self._initialise(embed_dims, num_layers)

    def _initialise(self, embed_dims: int, num_layers: int) -> None:
        """OpenAI's initial values: smaller ones where a branch joins the residual."""
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=embed_dims**-0.5)
        joining = embed_dims**-0.5 * (2 * num_layers) ** -0.5
        for block in self.transformer.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=embed_dims**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=joining)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * embed_dims) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=joining)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Encode sentences.

        Args:
            ids: (B, L) integers, L up to ``context_length``.

        Returns:
            The sentences (B, E) and all their tokens (B, L, E), neither normalised.
            Where the largest id occurs twice in a row, its first place counts.

        Raises:
            ValueError: if a sentence is longer than ``context_length``.
        """
        longest = len(self.positional_embedding)
        if ids.ndim != 2 or ids.shape[1] > longest:
            raise ValueError(
                f'CLIPText: ids must be (B, L) with L at most context_length = {longest}, got '
                f'{tuple(ids.shape)}. Cut the sentences when making ids.'
            )
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        for block in self.transformer.resblocks:
            x = block(x)
        words = self.ln_final(x) @ self.text_projection
        rows = torch.arange(len(ids), device=ids.device)
        return words[rows, ids.argmax(dim=-1)], words
