"""CLIP's text transformer as a text tower, and EVA-CLIP's."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter import weights

from ..ops.elementwise import LayerNorm
from ..ops.linear import Projection
from ..pretrained import Pretrained
from ..trunks.clip_vit import ACTIVATIONS, CLIPBlock, Transformer
from ..trunks.sizes import resolve_arch
from .embedding import Embedding
from .packing import text_mask

ARCHS: dict[str, dict] = {
    'clip-b': dict(embed_dims=512, num_layers=12, num_heads=8, output_dims=512),
    'clip-l': dict(embed_dims=768, num_layers=12, num_heads=12, output_dims=768),
}
EVA_ARCHS: dict[str, dict] = {
    'eva-e': dict(embed_dims=1024, num_layers=24, num_heads=16, output_dims=1024),
    'eva-e-plus': dict(embed_dims=1280, num_layers=32, num_heads=20, output_dims=1024),
}
REQUIRED = ('embed_dims', 'num_layers', 'num_heads', 'output_dims')
TUNE = ('none', 'all')


@MODELS.register_module()
class CLIPText(Pretrained):
    """CLIP's text encoder (Radford et al., 2021, section 2.4): token ids in, features out.

    Pre-norm blocks in which a token sees itself and earlier ones. Parameters carry
    OpenAI's names. A sentence is read at its end-of-text token, which must have the
    largest id in the row; whatever follows it (padding) has no influence. Trained, as in
    CLIP4Clip and Side4Video, unless told otherwise.

    Args:
        arch: ``'clip-b'`` (of ViT-B/32 and B/16), ``'clip-l'`` (of ViT-L/14), or a dict
            with ``embed_dims``, ``num_layers``, ``num_heads``, ``output_dims`` (width E of
            the joint space), and other ``vocab_size`` and ``context_length`` (longest
            sentence in tokens, both ends included) than CLIP's 49,408 and 77.
        checkpoint: path or known name of a CLIP file; the trunk's will do, see `Pretrained`.
        tune: ``'all'`` trains the tower, ``'none'`` freezes it; tuned-only checkpoints then
            leave it out, as they do the trunk.
        dtype: storage type of a frozen tower, e.g. ``'float16'``. Without autocast it
            computes in float32 all the same.
        activation: of the MLPs, ``'quick_gelu'`` (OpenAI's models) or ``'gelu'`` (most of
            LAION's); where the file says which it was trained with, it must agree.
        lora: trains low-rank maps beside the linear maps of the blocks; see `Pretrained`.

    Raises:
        ValueError: for an unknown arch, tune or activation, or missing keys.
    """

    role = 'text tower'
    setting = 'model.text_tower'
    archs = ARCHS
    optional = dict(vocab_size=49408, context_length=77)  # CLIP's
    activations: Collection[str] = ACTIVATIONS

    def __init__(
        self,
        arch: str | dict = 'clip-b',
        checkpoint: str | None = None,
        tune: str = 'all',
        dtype: str | None = None,
        activation: str = 'quick_gelu',
        lora: dict | None = None,
    ) -> None:
        super().__init__(checkpoint, tune, dtype, lora)
        who = type(self).__name__
        _check_choice(who, 'tune', tune, TUNE)
        _check_choice(who, 'activation', activation, self.activations)
        self.activation = activation
        sizes = self.optional | resolve_arch(who, arch, self.archs, self.optional, REQUIRED)
        self.vocab_size, self.context_length = sizes['vocab_size'], sizes['context_length']
        self.joint_dims = sizes['output_dims']
        with nullcontext() if checkpoint is None else torch.device('meta'):
            self._build(**sizes)
        if checkpoint is None:
            self._initialise(sizes['embed_dims'], sizes['num_layers'])
        self.freeze()  # gives memory to what is on the meta device; the file gives the values

    def _build(
        self,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        output_dims: int,
        vocab_size: int,
        context_length: int,
    ) -> None:
        self.token_embedding = Embedding(vocab_size, embed_dims)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, embed_dims))
        self.transformer = Transformer(
            [
                CLIPBlock(embed_dims, num_heads, causal=True, activation=self.activation)
                for _ in range(num_layers)
            ]
        )
        self.ln_final = LayerNorm(embed_dims)
        self.text_projection = nn.Parameter(torch.empty(embed_dims, output_dims))
        self.to_joint = Projection(self, 'text_projection')

    def _initialise(self, embed_dims: int, num_layers: int) -> None:
        """OpenAI's initial values: smaller ones where a branch joins the residual."""
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        matrix = getattr(self.text_projection, 'weight', self.text_projection)  # a layer or not
        nn.init.normal_(matrix, std=embed_dims**-0.5)
        joining = embed_dims**-0.5 * (2 * num_layers) ** -0.5
        for block in self.transformer.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=embed_dims**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=joining)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * embed_dims) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=joining)

    def chosen_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, or none."""
        if self.tune == 'all':
            yield from self.parameters()

    def read_pretrained(self, checkpoint: str) -> Mapping[str, Tensor]:
        """OpenAI-named tensors of the text tower in any CLIP file."""
        return weights.load_text(checkpoint, self.activation)

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
        self.require_weights()
        words = self.to_joint(self.ln_final(self.encode(ids)))
        return self.sentences(words, ids), words

    def sentences(self, words: Tensor, ids: Tensor) -> Tensor:
        """The token that each sentence is read at, of (B, L, E) -> (B, E)."""
        rows = torch.arange(ids.shape[0], device=ids.device)
        return words[rows, ids.argmax(dim=-1)]

    def mask(self, ids: Tensor) -> Tensor:
        """Which tokens are the caption's own, for comparisons token by token, (B, L) bool."""
        return text_mask(ids)

    def without_padding(self, ids: Tensor) -> Tensor:
        """(B, L) without the last places that are no caption's: no token looks behind itself."""
        return ids[:, : int(self.mask(ids).sum(dim=1).max())]

    def encode(self, ids: Tensor) -> Tensor:
        """Tokens after the last block, (B, L) -> (B, L, D), before norm and projection."""
        x = self.embed(ids)
        for block in self.transformer.resblocks:
            x = block(x)
        return x

    def embed(self, ids: Tensor) -> Tensor:
        """Tokens with their positions, (B, L) -> (B, L, D), in float32 at least."""
        if ids.ndim != 2 or ids.shape[1] > self.context_length:
            raise ValueError(
                f'{type(self).__name__}: ids must be (B, L) with L at most context_length = '
                f'{self.context_length}, got {tuple(ids.shape)}. Set the context_length of the '
                'tokenizer to that or less.'
            )
        x, positions = self.token_embedding(ids), self.positional_embedding[: ids.shape[1]]
        if x.dtype in (torch.float16, torch.bfloat16):
            x, positions = x.float(), positions.float()
        return x + positions


@MODELS.register_module()
class EVAText(CLIPText):
    """EVA-CLIP's text encoder (Sun et al., 2023): CLIP's with the exact (erf) GELU.

    Side4Video's released code for ViT-E builds its causal mask for 32 tokens, so that
    sentences must have exactly 32; this tower takes any length up to ``context_length``
    and gives the same numbers at 32.

    Args:
        arch: ``'eva-e-plus'`` (of EVA02-CLIP-E/14+, 694 M parameters), ``'eva-e'`` (of
            EVA02-CLIP-E/14), or a dict as in `CLIPText`.
        checkpoint, tune, dtype, lora: see `CLIPText`.
    """

    archs = EVA_ARCHS

    def __init__(
        self,
        arch: str | dict = 'eva-e-plus',
        checkpoint: str | None = None,
        tune: str = 'all',
        dtype: str | None = None,
        lora: dict | None = None,
    ) -> None:
        super().__init__(arch, checkpoint, tune, dtype, activation='gelu', lora=lora)


def _check_choice(who: str, name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ValueError(f'{who}: {name} must be one of {", ".join(choices)}, got {value!r}.')
