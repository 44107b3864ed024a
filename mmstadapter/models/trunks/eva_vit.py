"""EVA-CLIP's post-norm vision transformer as a trunk, up to ViT-E/14 with 4.4 B parameters."""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter import weights

from ..lora import is_added, take_lengths
from ..ops.attention import Mix, SelfAttention
from ..ops.elementwise import LayerNorm
from ..ops.linear import QKV, Linear, PatchConv
from .base import Trunk
from .block import Block, Change, through
from .sizes import check_frames, resample_positions, resolve_arch, resolve_size

ARCHS: dict[str, dict] = {
    'eva-e-p14': dict(
        img_size=224,
        patch_size=14,
        embed_dims=1792,
        num_layers=64,
        num_heads=16,
        mlp_dims=15360,
        output_dims=1024,
    ),
}
OPTIONAL = ('mlp_dims', 'mlp_ratio', 'output_dims')
EPS = 1e-6  # of every norm
INIT_STD = 0.02


class EVAAttention(SelfAttention):
    """Multi-head self-attention under EVA's names.

    Keys have no bias: it would add the same to a query's score with every token, which
    softmax takes out again.

    Args:
        embed_dims: width D.
        num_heads: heads of D / num_heads channels each.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__(embed_dims, num_heads)
        self.q_bias = nn.Parameter(torch.zeros(embed_dims))
        self.v_bias = nn.Parameter(torch.zeros(embed_dims))
        self.qkv = QKV(embed_dims, 3 * embed_dims, bias=False)
        self.proj = Linear(embed_dims, embed_dims)

    @property
    def layer_in(self) -> nn.Module:
        """``qkv``, D -> 3·D."""
        return self.qkv

    @property
    def bias_in(self) -> Tensor:
        """Of queries, keys (none) and values, (3·D,)."""
        rest = 2 * len(self.q_bias)  # autocast refuses to concatenate another 16-bit type
        return F.pad(self.q_bias, (0, rest)) + F.pad(self.v_bias, (rest, 0))

    @property
    def layer_out(self) -> nn.Module:
        """``proj``, D -> D."""
        return self.proj


class EVAMLP(nn.Module):
    """Two linear maps with an exact GELU between them, under EVA's names."""

    def __init__(self, embed_dims: int, mlp_dims: int) -> None:
        super().__init__()
        self.fc1 = Linear(embed_dims, mlp_dims)
        self.activation = nn.GELU()
        self.fc2 = Linear(mlp_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.fc2(self.activation(self.fc1(x)))


class EVABlock(Block):
    """Post-norm transformer block: the norm is on each branch, not on the residual.

    Args:
        embed_dims: width D.
        num_heads: attention heads.
        mlp_dims: hidden width of the MLP.
    """

    def __init__(self, embed_dims: int, num_heads: int, mlp_dims: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(embed_dims, EPS)
        self.attn = EVAAttention(embed_dims, num_heads)
        self.norm2 = LayerNorm(embed_dims, EPS)
        self.mlp = EVAMLP(embed_dims, mlp_dims)

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
        """Give x + post(norm1(attention(pre(x)))), (M, L, D) -> (M, Q, D); see `Block`."""
        # The stream is taken first: so gradients are added up in one order, seams or not.
        stream, y = x[:, :num_queries], through(pre, x)
        return stream + through(post, self.norm1(self.attn(y, num_queries, mix, bias)))

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """Give x + post(norm2(mlp(pre(x)))) + beside(x), (M, L, D) -> same; see `Block`."""
        y = x + through(post, self.norm2(self.mlp(through(pre, x))))
        return y if beside is None else y + beside(x)

    def class_attention(self, x: Tensor) -> Tensor:
        """How much the class token looks at each token. (M, L, D) -> (M, heads, L)."""
        return self.attn.first_token(x)


class PatchEmbed(nn.Module):
    """Holder of the patch convolution, for EVA's name ``patch_embed.proj``."""

    def __init__(self, embed_dims: int, patch_size: int) -> None:
        super().__init__()
        self.proj = PatchConv(3, embed_dims, patch_size, patch_size)


@MODELS.register_module()
class EVAViT(Trunk):
    """EVA-CLIP's image encoder (Sun et al., 2023), the post-norm form of ViT-E/14.

    Parameters carry EVA-CLIP's names without ``visual.``. The residual stream stays in the
    frames' type, also under autocast, as the released code has it. Where a pretrained file is
    named, nothing is initialised before it is read: ViT-E in 16 bit takes the 8.7 GB of its
    weights and no more. EVA01-CLIP-g/14 carries the same names and has its norms first: it is
    not one of these (`TimmViT` has it, ``eva_giant_patch14_clip_224``).

    Args:
        arch: a name from `ARCHS` or a dict with ``img_size`` (pixels), ``patch_size``,
            ``embed_dims``, ``num_layers``, ``num_heads``, one of ``mlp_dims`` and
            ``mlp_ratio`` (4 if neither) and, for the projection, ``output_dims``.
        img_size: input size in pixels, an integer or (height, width), if other
            than the pretrained one; the position table is resampled on load.
        with_proj: keep EVA-CLIP's projection into the joint image-text space (retrieval).
        checkpoint, tune, dtype, lora, quantize: see `Trunk`.

    Raises:
        ValueError: for an unknown arch, missing keys or sizes that do not divide.
    """

    num_prefix_tokens = 1

    def __init__(
        self,
        arch: str | dict = 'eva-e-p14',
        img_size: int | tuple[int, int] | None = None,
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        with_proj: bool = False,
        lora: dict | None = None,
        quantize: str | None = None,
    ) -> None:
        super().__init__(checkpoint, tune, dtype, lora, quantize)
        arch = resolve_arch('EVAViT', arch, ARCHS, OPTIONAL)
        self.patch_size, self.embed_dims = arch['patch_size'], arch['embed_dims']
        size = arch['img_size'] if img_size is None else img_size
        self.img_size, self.grid = resolve_size('EVAViT', size, self.patch_size)
        if with_proj and 'output_dims' not in arch:
            raise ValueError("EVAViT: with_proj needs 'output_dims' in the arch dict.")
        with torch.device('meta'):  # `freeze` gives memory
            self._build(arch, with_proj)
        self.freeze()
        if checkpoint is None:
            self._start_random()

    def _build(self, arch: dict, with_proj: bool) -> None:
        dims, mlp_dims = self.embed_dims, _mlp_dims(arch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], dims))
        self.patch_embed = PatchEmbed(dims, self.patch_size)
        blocks = (EVABlock(dims, arch['num_heads'], mlp_dims) for _ in range(arch['num_layers']))
        self._modules['blocks'] = nn.ModuleList(blocks)  # a property of `Trunk`
        self.norm = LayerNorm(dims, EPS)
        if with_proj:
            self.head = Linear(dims, arch['output_dims'])

    @torch.no_grad()
    def _start_random(self) -> None:
        """Norms as the identity, biases zero, everything else normal."""
        for name, parameter in self.named_parameters():
            if is_added(name):
                continue
            if 'norm' in name and name.endswith('weight'):
                parameter.fill_(1)
            elif name.endswith('bias'):
                parameter.zero_()
            else:
                parameter.normal_(std=INIT_STD)
        take_lengths(self)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, in order."""
        return self._modules['blocks']

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """The layer norm after the last block and the projection."""
        yield from self.norm.parameters()
        if hasattr(self, 'head'):
            yield from self.head.parameters()

    def embed(self, frames: Tensor, pre: Change | None = None) -> Tensor:
        """pre([class token; patches] + positions), no norm. (M, 3, H, W) -> (M, 1+N, D)."""
        self.require_weights()
        check_frames('EVAViT', frames, self.img_size)
        x = self.patch_embed.proj(frames).to(frames.dtype)
        x = rearrange(x, 'm d h w -> m (h w) d')
        cls = self.cls_token.to(x.dtype).expand(x.shape[0], -1, -1)
        return through(pre, torch.cat([cls, x], dim=1) + self.pos_embed.to(x.dtype))

    def final_norm(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), EVA's ``norm``."""
        return self.norm(x)

    @property
    def joint_dims(self) -> int:
        """E, the width of the joint image-text space."""
        if not hasattr(self, 'head'):
            raise self._without_projection()
        return self.head.out_features

    def project(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., E), EVA's ``head``."""
        if not hasattr(self, 'head'):
            raise self._without_projection()
        return self.head(x)

    def read_pretrained(self, checkpoint: str) -> Mapping[str, Tensor]:
        """The image tower of an EVA-CLIP file."""
        return weights.load_eva_visual(checkpoint)

    def fit_pretrained(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Drop the projection if it is not wanted; fit the position table to the grid."""
        wanted = [n for n in tensors if not n.startswith('head.') or hasattr(self, 'head')]
        return weights.LazyTensors.choose(tensors, wanted, dict(pos_embed=self._fit_positions))

    def _fit_positions(self, table: Tensor) -> Tensor:
        """(1, 1 + side², D) -> (1, 1 + h·w, D)."""
        return resample_positions(table[0], self.grid, 'EVAViT')[None]


def _mlp_dims(arch: dict) -> int:
    """Hidden width of the MLPs."""
    if 'mlp_dims' in arch and 'mlp_ratio' in arch:
        raise ValueError(
            f'EVAViT: an arch dict has mlp_dims or mlp_ratio, not both, got {arch["mlp_dims"]} '
            f'and {arch["mlp_ratio"]}.'
        )
    return arch.get('mlp_dims') or int(arch['embed_dims'] * arch.get('mlp_ratio', 4))
