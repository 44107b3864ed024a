"""CLIP's vision transformer as a trunk."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from mmstadapter import weights

from ..ops.attention import attention_weights
from ..ops.elementwise import LayerNorm, linear, quick_gelu
from .base import Trunk

BASE = dict(embed_dims=768, num_layers=12, num_heads=12, output_dims=512)
LARGE = dict(embed_dims=1024, num_layers=24, num_heads=16, output_dims=768)
ARCHS: dict[str, dict] = {
    'vit-b-p32': dict(img_size=224, patch_size=32, **BASE),
    'vit-b-p16': dict(img_size=224, patch_size=16, **BASE),
    'vit-l-p14': dict(img_size=224, patch_size=14, **LARGE),
    'vit-l-p14-336': dict(img_size=336, patch_size=14, **LARGE),
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = dict(quick_gelu=quick_gelu, gelu=F.gelu)
REQUIRED = ('img_size', 'patch_size', 'embed_dims', 'num_layers', 'num_heads')


class Attention(nn.Module):
    """Multi-head self-attention with OpenAI's parameter names.

    Args:
        embed_dims: width D.
        num_heads: heads of D / num_heads channels each.
        causal: whether a token sees only itself and earlier ones (text towers).
    """

    def __init__(self, embed_dims: int, num_heads: int, causal: bool = False) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'Attention: embed_dims must be a multiple of num_heads, got {embed_dims} and '
                f'{num_heads}.'
            )
        self.num_heads, self.causal = num_heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        x: Tensor,
        num_queries: int | None = None,
        mix: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(M, L, D) -> (M, Q, D): the first Q = num_queries tokens look at all L.

        ``mix`` changes keys and values, each (M, heads, L, D/heads), before they are looked at.
        """
        dims = x.shape[-1]
        if num_queries is None:
            qkv = linear(x, self.in_proj_weight, self.in_proj_bias)
            q, k, v = rearrange(qkv, 'm l (three h d) -> three m h l d', three=3, h=self.num_heads)
        else:
            q = linear(x[:, :num_queries], self.in_proj_weight[:dims], self.in_proj_bias[:dims])
            kv = linear(x, self.in_proj_weight[dims:], self.in_proj_bias[dims:])
            q = rearrange(q, 'm l (h d) -> m h l d', h=self.num_heads)
            k, v = rearrange(kv, 'm l (two h d) -> two m h l d', two=2, h=self.num_heads)
        if mix is not None:
            k, v = mix(k), mix(v)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = rearrange(x, 'm h l d -> m l (h d)')
        return linear(x, self.out_proj.weight, self.out_proj.bias)

    def first_token(self, x: Tensor) -> Tensor:
        """How much the first token looks at each. (M, L, D) -> (M, heads, L), rows sum to one."""
        dims = x.shape[-1]
        q = linear(x[:, :1], self.in_proj_weight[:dims], self.in_proj_bias[:dims])
        keys = slice(dims, 2 * dims)
        k = linear(x, self.in_proj_weight[keys], self.in_proj_bias[keys])
        q, k = (rearrange(t, 'm l (h d) -> m h l d', h=self.num_heads) for t in (q, k))
        return attention_weights(q, k).squeeze(2)


class MLP(nn.Module):
    """Two linear maps with an activation between them, under OpenAI's names."""

    def __init__(self, embed_dims: int, feedforward_dims: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.c_fc = nn.Linear(embed_dims, feedforward_dims)
        self.c_proj = nn.Linear(feedforward_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        x = self.activation(linear(x, self.c_fc.weight, self.c_fc.bias))
        return linear(x, self.c_proj.weight, self.c_proj.bias)


class CLIPBlock(nn.Module):
    """Pre-norm transformer block of CLIP: attention, then MLP, each on the residual.

    Args:
        embed_dims: width D.
        num_heads: attention heads.
        causal: see `Attention`.
        activation: ``'quick_gelu'`` or ``'gelu'``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        causal: bool = False,
        activation: str = 'quick_gelu',
    ) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(embed_dims)
        self.attn = Attention(embed_dims, num_heads, causal)
        self.ln_2 = LayerNorm(embed_dims)
        self.mlp = MLP(embed_dims, 4 * embed_dims, activation)

    def attend(
        self,
        x: Tensor,
        num_queries: int | None = None,
        mix: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Add the attention branch to x. (M, L, D) -> (M, Q, D), Q = num_queries or L.

        ``mix``: see `Attention.forward`.
        """
        return x[:, :num_queries] + self.attn(self.ln_1(x), num_queries, mix)

    def class_attention(self, x: Tensor) -> Tensor:
        """How much the class token looks at each token. (M, L, D) -> (M, heads, L)."""
        return self.attn.first_token(self.ln_1(x))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Add the MLP branch to x. (M, L, D) -> (M, L, D)."""
        return x + self.mlp(self.ln_2(x))

    def forward(self, x: Tensor) -> Tensor:
        """(M, L, D) -> (M, L, D)."""
        return self.feed_forward(self.attend(x))


class _Transformer(nn.Module):
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
        checkpoint, tune, dtype: see `Trunk`.

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
    ) -> None:
        super().__init__(checkpoint, tune, dtype)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f'CLIPViT: activation must be one of {", ".join(ACTIVATIONS)}, got {activation!r}.'
            )
        self.activation = activation
        arch = _resolve_arch(arch)
        size = arch['img_size'] if img_size is None else img_size
        self.img_size = (size, size) if isinstance(size, int) else tuple(size)
        self.patch_size = arch['patch_size']
        self.embed_dims = dims = arch['embed_dims']
        self.grid = tuple(s // self.patch_size for s in self.img_size)
        if min(self.grid) < 1:
            raise ValueError(
                f'CLIPViT: img_size must be at least one patch of {self.patch_size} pixels, '
                f'got {self.img_size}.'
            )
        self.conv1 = nn.Conv2d(3, dims, self.patch_size, self.patch_size, bias=False)
        self.class_embedding = nn.Parameter(dims**-0.5 * torch.randn(dims))
        tokens = 1 + self.grid[0] * self.grid[1]
        self.positional_embedding = nn.Parameter(dims**-0.5 * torch.randn(tokens, dims))
        self.ln_pre = LayerNorm(dims)
        self.transformer = _Transformer(
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
        self.freeze()

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, in order."""
        return self.transformer.resblocks

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """The layer norm after the last block and the projection."""
        yield from self.ln_post.parameters()
        yield from (p for n, p in self.named_parameters() if n == 'proj')

    def embed(self, frames: Tensor) -> Tensor:
        """(M, 3, H, W) -> (M, 1+N, D): patches, class token, positions, norm."""
        self.require_weights()
        if tuple(frames.shape[-2:]) != self.img_size:
            raise ValueError(
                f'CLIPViT: frames must be {self.img_size} pixels (height, width), got '
                f'{tuple(frames.shape[-2:])}. Crop to that size in the pipeline, or set '
                'model.backbone.trunk.img_size.'
            )
        weight = self.conv1.weight
        if weight.dtype != frames.dtype and not torch.is_autocast_enabled(frames.device.type):
            weight = weight.to(frames.dtype)
        x = F.conv2d(frames, weight, stride=self.patch_size)
        x = rearrange(x, 'm d h w -> m (h w) d')
        cls = self.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1) + self.positional_embedding.to(x.dtype)
        return self.ln_pre(x)

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
        return linear(x, self.proj.T, None)

    def read_pretrained(self, checkpoint: str) -> dict[str, Tensor]:
        """OpenAI-named tensors of any CLIP file."""
        return weights.load_visual(checkpoint, self.activation)

    def fit_pretrained(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Drop the projection if it is not wanted; fit the position table to the grid."""
        tensors = {n: t for n, t in tensors.items() if n != 'proj' or hasattr(self, 'proj')}
        table = tensors.get('positional_embedding')
        if table is not None:
            tensors['positional_embedding'] = resample_positions(table, self.grid)
        return tensors


def _resolve_arch(arch: str | dict) -> dict:
    """A size table entry, checked."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f'CLIPViT: unknown arch {arch!r}; choose from {", ".join(ARCHS)} or give a dict '
                f'with {", ".join(REQUIRED)}.'
            )
        return ARCHS[arch]
    missing = [key for key in REQUIRED if key not in arch]
    surplus = [key for key in arch if key not in (*REQUIRED, 'output_dims')]
    if missing or surplus:
        raise ValueError(
            f'CLIPViT: an arch dict needs {", ".join(REQUIRED)} (and output_dims for the '
            f'projection); missing {missing or "none"}, unknown {surplus or "none"}.'
        )
    return dict(arch)


def resample_positions(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Fit a table of a square grid to another grid, bicubic; the class row is kept.

    Args:
        table: (1 + side², D), class row first.
        grid: patches (down, across) wanted.

    Returns:
        (1 + h*w, D); the same tensor if the grid is the same.
    """
    side = round((len(table) - 1) ** 0.5)
    if 1 + side**2 != len(table):
        raise ValueError(
            f'CLIPViT: only position tables of square grids can be resampled, '
            f'got {len(table)} rows.'
        )
    if (side, side) == grid:
        return table
    cls, patches = table[:1], rearrange(table[1:].float(), '(h w) d -> 1 d h w', h=side)
    patches = F.interpolate(patches, size=grid, mode='bicubic', align_corners=False, antialias=True)
    print_log(
        f'CLIPViT: position table resampled from {side}x{side} to {grid[0]}x{grid[1]}', 'current'
    )
    return torch.cat([cls.float(), rearrange(patches, '1 d h w -> (h w) d')]).to(table.dtype)
