"""CLIP's vision transformer as a trunk."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter import weights

from ..ops.attention import Mix, SelfAttention
from ..ops.elementwise import LayerNorm, QuickGELU
from ..ops.linear import InProjection, Linear, PatchConv, Projection, quick_gelu_mlp
from .base import Trunk
from .block import Block, Change, through
from .sizes import check_frames, resample_positions, resolve_arch, resolve_size

BASE = dict(embed_dims=768, num_layers=12, num_heads=12, output_dims=512)
LARGE = dict(embed_dims=1024, num_layers=24, num_heads=16, output_dims=768)
ARCHS: dict[str, dict] = {
    'vit-b-p32': dict(img_size=224, patch_size=32, **BASE),
    'vit-b-p16': dict(img_size=224, patch_size=16, **BASE),
    'vit-l-p14': dict(img_size=224, patch_size=14, **LARGE),
    'vit-l-p14-336': dict(img_size=336, patch_size=14, **LARGE),
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = dict(quick_gelu=QuickGELU, gelu=nn.GELU)
SIGLIP = 'gelu_tanh'  # of SigLIP's text towers alone, so no choice for others
INNER = ACTIVATIONS | {SIGLIP: partial(nn.GELU, approximate='tanh')}


class Attention(SelfAttention):
    """Multi-head self-attention with OpenAI's parameter names.

    Args:
        embed_dims: width D.
        num_heads: heads of D / num_heads channels.
        causal: whether a token sees only itself and earlier ones (text towers).
    """

    def __init__(self, embed_dims: int, num_heads: int, causal: bool = False) -> None:
        super().__init__(embed_dims, num_heads, causal)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.in_proj = InProjection(self)
        self.out_proj = Linear(embed_dims, embed_dims)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)
        self._register_state_dict_hook(drop_second_names)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        for name, ours in self.second_names().items():
            if prefix + ours in state_dict:
                state_dict[prefix + name] = state_dict[prefix + ours]
        super()._load_from_state_dict(state_dict, prefix, *args)

    def second_names(self) -> dict[str, str]:
        """Second names of ``in_proj_weight`` and ``in_proj_bias``, such as Float8Linear gives."""
        ours = {id(p): name for name, p in self.named_parameters(recurse=False)}
        layer = self.in_proj.named_parameters(prefix='in_proj')
        return {name: ours[id(p)] for name, p in layer if id(p) in ours}

    @property
    def layer_in(self) -> nn.Module:
        """``in_proj``, D -> 3·D."""
        return self.in_proj

    @property
    def layer_out(self) -> nn.Module:
        """``out_proj``, D -> D."""
        return self.out_proj


def drop_second_names(attention: Attention, state_dict: dict, prefix: str, _: Any) -> None:
    """Hook of a state dict: OpenAI's names alone."""
    for name in attention.second_names():
        del state_dict[prefix + name]


class MLP(nn.Module):
    """Two linear maps with an activation between them, under OpenAI's names."""

    def __init__(self, embed_dims: int, feedforward_dims: int, activation: str) -> None:
        super().__init__()
        self.c_fc = Linear(embed_dims, feedforward_dims)
        self.activation = INNER[activation]()
        self.c_proj = Linear(feedforward_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return quick_gelu_mlp(x, self.c_fc, self.activation, self.c_proj)


class CLIPBlock(Block):
    """Pre-norm transformer block of CLIP: attention, then MLP, each on the residual.

    Args:
        embed_dims: width D.
        num_heads: attention heads.
        causal: see `Attention`.
        activation: one of `INNER`.
        mlp_ratio: hidden width of the MLP over D, rounded down.
        eps: of the norms.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        causal: bool = False,
        activation: str = 'quick_gelu',
        mlp_ratio: float = 4,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(embed_dims, eps)
        self.attn = Attention(embed_dims, num_heads, causal)
        self.ln_2 = LayerNorm(embed_dims, eps)
        self.mlp = MLP(embed_dims, int(mlp_ratio * embed_dims), activation)

    def attend(
        self,
        x: Tensor,
        num_queries: int | None = None,
        *,
        pre: Change | None = None,
        mix: Mix | None = None,
        bias: Tensor | None = None,
        post: Change | None = None,
    ) -> Tensor:
        """Give x + post(attention(pre(ln_1(x)))), (M, L, D) -> (M, Q, D); see `Block`."""
        # The stream is taken first: so gradients are added up in one order, seams or not.
        stream, y = x[:, :num_queries], through(pre, self.ln_1(x))
        return stream + through(post, self.attn(y, num_queries, mix, bias))

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """Give x + post(mlp(pre(ln_2(x)))) + beside(ln_2(x)), (M, L, D) -> same; see `Block`."""
        y = self.ln_2(x)
        x = x + through(post, self.mlp(through(pre, y)))
        return x if beside is None else x + beside(y)

    def class_attention(self, x: Tensor) -> Tensor:
        """How much the class token looks at each token. (M, L, D) -> (M, heads, L)."""
        return self.attn.first_token(self.ln_1(x))


class Transformer(nn.Module):
    """Holder of the blocks, for OpenAI's names ``transformer.resblocks.<i>``."""

    def __init__(self, blocks: list[CLIPBlock]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)


@MODELS.register_module()
class CLIPViT(Trunk):
    """CLIP's image encoder (Radford et al., 2021) behind the trunk's verbs.

    Parameters carry OpenAI's names without ``visual.``.

    Args:
        arch: a name from `ARCHS` or a dict with ``img_size`` (pixels),
            ``patch_size``, ``embed_dims``, ``num_layers``, ``num_heads`` and,
            for the projection, ``output_dims``.
        img_size: input size in pixels, an integer or (height, width), if other
            than the pretrained one; the position table is resampled on load.
        with_proj: keep CLIP's projection into the joint image-text space (retrieval).
        activation: of the MLPs, ``'quick_gelu'`` (OpenAI's models) or ``'gelu'`` (most of
            LAION's); where the file says which it was trained with, it must agree.
        checkpoint, tune, dtype, lora, quantize: see `Trunk`.

    Raises:
        ValueError: for an unknown arch, missing keys or sizes that do not divide.
    """

    num_prefix_tokens = 1

    def __init__(
        self,
        arch: str | dict = 'vit-b-p16',
        img_size: int | tuple[int, int] | None = None,
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        with_proj: bool = False,
        activation: str = 'quick_gelu',
        lora: dict | None = None,
        quantize: str | None = None,
    ) -> None:
        super().__init__(checkpoint, tune, dtype, lora, quantize)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f'CLIPViT: activation must be one of {", ".join(ACTIVATIONS)}, got {activation!r}.'
            )
        self.activation = activation
        arch = resolve_arch('CLIPViT', arch, ARCHS, ('output_dims',))
        self.patch_size = arch['patch_size']
        self.embed_dims = dims = arch['embed_dims']
        size = arch['img_size'] if img_size is None else img_size
        self.img_size, self.grid = resolve_size('CLIPViT', size, self.patch_size)
        self.conv1 = PatchConv(3, dims, self.patch_size, self.patch_size, bias=False)
        self.class_embedding = nn.Parameter(dims**-0.5 * torch.randn(dims))
        tokens = 1 + self.grid[0] * self.grid[1]
        self.positional_embedding = nn.Parameter(dims**-0.5 * torch.randn(tokens, dims))
        self.ln_pre = LayerNorm(dims)
        self.transformer = Transformer(
            [
                CLIPBlock(dims, arch['num_heads'], activation=activation)
                for _ in range(arch['num_layers'])
            ]
        )
        self.ln_post = LayerNorm(dims)
        if with_proj:
            if 'output_dims' not in arch:
                raise ValueError("CLIPViT: with_proj needs 'output_dims' in the arch dict.")
            self.proj = nn.Parameter(dims**-0.5 * torch.randn(dims, arch['output_dims']))
            self.to_joint = Projection(self, 'proj')
        self.freeze()

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, in order."""
        return self.transformer.resblocks

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """The layer norm after the last block and the projection."""
        yield from self.ln_post.parameters()
        yield from (p for n, p in self.named_parameters() if n == 'proj')

    def embed(self, frames: Tensor, pre: Change | None = None) -> Tensor:
        """ln_pre(pre([class token; patches] + positions)). (M, 3, H, W) -> (M, 1+N, D)."""
        self.require_weights()
        check_frames('CLIPViT', frames, self.img_size)
        x = rearrange(self.conv1(frames), 'm d h w -> m (h w) d')
        cls = self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([cls, x], dim=1) + self.positional_embedding.to(x.dtype)
        return self.ln_pre(through(pre, x))

    def final_norm(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), CLIP's ``ln_post``."""
        return self.ln_post(x)

    @property
    def joint_dims(self) -> int:
        """E, the width of the joint image-text space."""
        if not hasattr(self, 'proj'):
            raise self._without_projection()
        return self.proj.shape[1]

    def project(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., E), CLIP's ``proj``."""
        if not hasattr(self, 'proj'):
            raise self._without_projection()
        return self.to_joint(x)

    def read_pretrained(self, checkpoint: str) -> Mapping[str, Tensor]:
        """OpenAI-named tensors of any CLIP file."""
        return weights.load_visual(checkpoint, self.activation)

    def fit_pretrained(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Drop the projection if it is not wanted; fit the position table to the grid."""
        wanted = [n for n in tensors if n != 'proj' or hasattr(self, 'proj')]
        fit = partial(resample_positions, grid=self.grid)
        return weights.LazyTensors.choose(tensors, wanted, dict(positional_embedding=fit))
