"""Side4Video: a light spatio-temporal network beside a frozen image transformer.

Yao et al., "Side4Video: Spatial-Temporal Side Network for Memory-Efficient Image-to-Video
Transfer Learning", arXiv 2311.15769.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..ops.attention import attention_weights
from ..ops.batch_norm import batch_norm, contexts_of_recomputation
from ..ops.depthwise import depthwise_conv, shift
from ..ops.elementwise import LayerNorm, keep_in_graph, layer_norm
from ..ops.recompute import gelu_linear, linear_of, norm_linear
from ..trunks.base import Trunk
from .outputs import check_output, read_out
from .st_adapter import select_blocks

CHOICES = dict(
    temporal=('conv', 'attention', 'none'),
    fusion=('mean', 'sum'),
    norm=('pre', 'post'),
    representation=('avg_pool', 'trunk_cls', 'side_cls'),
)


class Stem(nn.Module):
    """Video to side tokens: a 3-D convolution over three frames of patches, then batch norm.

    The start of Eq. 2's recurrence, s_0; the kernel (3, p, p), its bias and the norm are the
    released code's.
    """

    def __init__(self, patch_size: int, side_dims: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        kernel = (3, patch_size, patch_size)
        self.conv = nn.Conv3d(3, side_dims, kernel, (1, patch_size, patch_size), (1, 0, 0))
        self.norm = nn.BatchNorm1d(side_dims)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, N, C).

        Patches do not overlap, so the convolution is one matrix product for each of its
        three frames; zeros stand before and after the clip.
        """
        p = self.patch_size
        height, width = (size // p * p for size in video.shape[-2:])
        patches = rearrange(
            video[..., :height, :width], 'b c t (h p) (w q) -> b t (h w) (c p q)', p=p, q=p
        )
        weight = rearrange(self.conv.weight, 'd c k p q -> (k d) (c p q)')
        before, now, after = F.linear(patches, weight).chunk(3, dim=-1)
        s = now + self.conv.bias.to(now.dtype) + shift(before, -1) + shift(after, 1)
        return batch_norm(self.norm, s.flatten(0, 1))


class Down(nn.Module):
    """Trunk tokens to side width, Eq. 1: Linear(LayerNorm(Z)), or with norm='post' the reverse."""

    def __init__(self, embed_dims: int, side_dims: int, norm: str) -> None:
        super().__init__()
        self.post = norm == 'post'
        self.norm = LayerNorm(side_dims if self.post else embed_dims)
        self.linear = nn.Linear(embed_dims, side_dims)

    def forward(self, z: Tensor) -> Tensor:
        """(M, L, D) -> (M, L, C)."""
        return self.norm(self.linear(z)) if self.post else norm_linear(self.norm, z, self.linear)


class TemporalConv(nn.Module):
    """Pointwise, depth-wise over three frames, pointwise; nothing in between (section 3.3)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.pw1 = nn.Linear(dims, dims)
        self.dw = nn.Conv3d(dims, dims, (3, 1, 1), padding=(1, 0, 0), groups=dims)
        self.pw2 = nn.Linear(dims, dims)

    def forward(self, s: Tensor, norm: nn.Module | None, num_frames: int) -> Tensor:
        """(B·T, L, C), normalised here by ``norm`` if there is one -> (B·T, L, C)."""
        u = self.pw1(s) if norm is None else norm_linear(norm, s, self.pw1)
        over_time = partial(conv_over_time, num_frames)
        return linear_of(over_time, (u, self.dw.weight, self.dw.bias), self.pw2)


def conv_over_time(num_frames: int, u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depth-wise convolution of every place over time. (B·T, L, C) -> same."""
    u = rearrange(u, '(b t) l c -> b t l 1 c', t=num_frames)
    return rearrange(depthwise_conv(u, weight, bias), 'b t l 1 c -> (b t) l c')


class TemporalAttention(nn.Module):
    """Self-attention over time at every place: the alternative of Table 9b.

    It has no position code, so the order of frames reaches the network through the stem and
    the shifted class tokens alone.
    """

    def __init__(self, dims: int, head_dims: int) -> None:
        super().__init__()
        self.head_dims = head_dims
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, s: Tensor, norm: nn.Module | None, num_frames: int) -> Tensor:
        """(B·T, L, C), normalised here by ``norm`` if there is one -> (B·T, L, C)."""
        qkv = self.qkv(s) if norm is None else norm_linear(norm, s, self.qkv)
        q, k, v = rearrange(
            qkv, '(b t) l (n h d) -> n (b l) h t d', t=num_frames, n=3, d=self.head_dims
        )
        s_t = F.scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(s_t, '(b l) h t d -> (b t) l (h d)', l=s.shape[1]))


class SpatialAttention(nn.Module):
    """Attention of the side tokens of a frame to themselves and one class token."""

    def __init__(self, dims: int, head_dims: int) -> None:
        super().__init__()
        self.head_dims = head_dims
        self.in_proj = nn.Linear(dims, 3 * dims)
        self.out_proj = nn.Linear(dims, dims)

    def forward(self, keys: 'Keys', num_queries: int) -> Tensor:
        """Tokens (M, K, C) as ``keys`` makes them -> (M, Q, C): the last Q look at all K."""
        q, k, v = self.project(keys)
        x = F.scaled_dot_product_attention(q[:, :, -num_queries:], k, v)
        return self.out_proj(rearrange(x, 'm h l d -> m l (h d)'))

    def project(self, keys: 'Keys') -> Tensor:
        """Queries, keys and values of all tokens, (3, M, heads, K, head_dims)."""
        qkv = linear_of(keys.make, keys.inputs, self.in_proj)
        return rearrange(qkv, 'm l (n h d) -> n m h l d', n=3, d=self.head_dims)


class Keys:
    """The tokens attention sees: a class token if any, and the side tokens with positions.

    Positions are added here alone, not to the residual stream, and not to the class token
    unless the table has a row for it (retrieval).

    Args:
        norm: layer norm of the result, or None (norm='post').
        s: side tokens (M, L, C).
        positions: table (N, C), or (1 + N, C) with the class token's row first.
        cls: class tokens (M, 1, C) or None.
    """

    def __init__(
        self, norm: nn.LayerNorm | None, s: Tensor, positions: Tensor, cls: Tensor | None
    ) -> None:
        self.eps = None if norm is None else norm.eps
        given = (s, positions, *(() if cls is None else (cls,)))
        self.inputs = given if norm is None else (norm.weight, norm.bias, *given)

    def make(self, *inputs: Tensor) -> Tensor:
        """(M, L, C) -> (M, L, C), or (M, 1 + L, C) with a class token."""
        if self.eps is None:
            return with_positions(*inputs)
        weight, bias, *given = inputs
        return layer_norm(with_positions(*given), weight, bias, self.eps)


def with_positions(s: Tensor, positions: Tensor, cls: Tensor | None = None) -> Tensor:
    """The class token, if any, and s with positions added to the last tokens."""
    x = s if cls is None else torch.cat([cls.to(s.dtype), s], dim=1)
    return x + F.pad(positions.to(x.dtype), (0, 0, x.shape[1] - len(positions), 0))


class MLP(nn.Module):
    """Two linear maps with an exact GELU between them."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dims, 4 * dims)
        self.fc2 = nn.Linear(4 * dims, dims)

    def forward(self, s: Tensor, norm: nn.Module | None) -> Tensor:
        """(M, L, C), normalised here by ``norm`` if there is one -> (M, L, C)."""
        u = self.fc1(s) if norm is None else norm_linear(norm, s, self.fc1)
        return gelu_linear(u, self.fc2)


class SideBlock(nn.Module):
    """Fuse a trunk layer's tokens, then time, space and MLP, each on the residual.

    Figure 3b and section 3.3. With norm='pre' (CLIP trunks) batch norm comes before the
    temporal module and the MLP, layer norm before attention; with norm='post' (EVA trunks)
    the same norms come after.
    """

    def __init__(
        self,
        embed_dims: int,
        side_dims: int,
        head_dims: int,
        temporal: str,
        cls_shift: bool,
        fusion: str,
        norm: str,
        own_cls: bool,
    ) -> None:
        super().__init__()
        self.cls_shift, self.fusion, self.post = cls_shift, fusion, norm == 'post'
        self.own_cls = own_cls
        self.down = Down(embed_dims, side_dims, norm)
        if temporal != 'none':
            self.bn_1 = nn.BatchNorm1d(side_dims)
        if temporal == 'conv':
            self.conv = TemporalConv(side_dims)
        elif temporal == 'attention':
            self.time_attn = TemporalAttention(side_dims, head_dims)
        self.ln_1 = LayerNorm(side_dims)
        self.attn = SpatialAttention(side_dims, head_dims)
        self.bn_2 = nn.BatchNorm1d(side_dims)
        self.mlp = MLP(side_dims)

    def forward(
        self, s: Tensor, tokens: Sequence[Tensor], positions: Tensor, num_frames: int
    ) -> Tensor:
        """One side layer.

        Args:
            s: side tokens (B·T, L, C); L = N, or 1 + N with a class token of its own.
            tokens: a trunk layer's output, class token first, in chunks of frames
                (M, 1 + N, D) whose M add up to B·T.
            positions: table (N, C) or (1 + N, C).
            num_frames: T.

        Returns:
            (B·T, L, C).
        """
        z = self.project(tokens)
        s = self.fuse(s, z)
        s = s + self.over_time(s, num_frames)
        s = s + self.over_space(s, self.shifted_cls(z, num_frames), positions)
        return s + self.feed_forward(s)

    def project(self, tokens: Sequence[Tensor]) -> Tensor:
        """Chunks (M, 1 + N, D) -> (B·T, 1 + N, C)."""
        parts = [self.down(chunk) for chunk in tokens]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def fuse(self, s: Tensor, z: Tensor) -> Tensor:
        """Eq. 2's sum, or as released the mean, of s (M, L, C) and the last L of z.

        A class token of the side network's own takes up nothing.
        """
        z = z[:, z.shape[1] - s.shape[1] :]
        both = 0.5 * (s + z) if self.fusion == 'mean' else s + z
        return torch.cat([s[:, :1], both[:, 1:]], dim=1) if self.own_cls else both

    def over_time(self, s: Tensor, num_frames: int) -> Tensor | float:
        """The temporal branch. (B·T, L, C) -> same."""
        module = getattr(self, 'conv', None) or getattr(self, 'time_attn', None)
        if module is None:
            return 0.0
        if self.post:
            return batch_norm(self.bn_1, module(s, None, num_frames))
        return module(s, self.bn_1, num_frames)

    def shifted_cls(self, z: Tensor, num_frames: int) -> Tensor | None:
        """Class tokens of the frames beside: first half of the channels of the next frame,
        second half of the one before, zeros beyond the clip. (B·T, 1 + N, C) -> (B·T, 1, C).
        """
        if not self.cls_shift:
            return None
        half = z.shape[-1] // 2
        cls = rearrange(z[:, 0], '(b t) c -> b t c', t=num_frames)
        cls = torch.cat([shift(cls[..., :half], 1), shift(cls[..., half:], -1)], dim=-1)
        return rearrange(cls, 'b t c -> (b t) 1 c')

    def keys(self, s: Tensor, cls: Tensor | None, positions: Tensor) -> Keys:
        """What attention sees of s (M, L, C) and cls (M, 1, C)."""
        return Keys(None if self.post else self.ln_1, s, positions, cls)

    def over_space(self, s: Tensor, cls: Tensor | None, positions: Tensor) -> Tensor:
        """The attention branch. (M, L, C) -> same."""
        x = self.attn(self.keys(s, cls, positions), s.shape[1])
        return self.ln_1(x) if self.post else x

    def attention(
        self, s: Tensor, tokens: Sequence[Tensor], positions: Tensor, num_frames: int
    ) -> Tensor:
        """How much each of the L side tokens looks at each of K. -> (B·T, heads, L, K).

        Arguments as of `forward`; K = L, and one more in front with the shifted class token.
        """
        z = self.project(tokens)
        s = self.fuse(s, z)
        s = s + self.over_time(s, num_frames)
        keys = self.keys(s, self.shifted_cls(z, num_frames), positions)
        q, k, _ = self.attn.project(keys)
        return attention_weights(q[:, :, -s.shape[1] :], k)

    def feed_forward(self, s: Tensor) -> Tensor:
        """The MLP branch. (M, L, C) -> same."""
        if self.post:
            return batch_norm(self.bn_2, self.mlp(s, None))
        return self.mlp(s, self.bn_2)


@torch.compiler.disable  # torch.compile takes no context_fn
def recomputed(
    block: SideBlock, s: Tensor, tokens: Sequence[Tensor], positions: Tensor, num_frames: int
) -> Tensor:
    """What a block gives, computed again in the backward pass; arguments as the block's.

    Again means as it was: a change of mode or running statistics in between has no effect.
    """
    return checkpoint(
        lambda s, positions, *tokens: block(s, tokens, positions, num_frames),
        s,
        positions,
        *tokens,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=partial(contexts_of_recomputation, block),
    )


@MODELS.register_module()
class SideNetwork(BaseModule):
    """The side network by itself, fed with a trunk's layers one at a time.

    Figure 3, Eq. 1 to 4, Tables 1 and 9. It reads its sizes from the trunk and does not keep
    it, so that several may stand beside one (`SharedTrunkViT`).

    Args:
        trunk: the built image encoder that it will stand beside.
        side_dims: width C: 320 (B/16), 512 (L/14), 576 (E/14), 192 and 320 in the light
            models; a multiple of ``head_dims``.
        layers: the trunk layers that are read, one side block each (Table 9a, 9e):
            ``'all'``; ``'interval'``, the 2nd, 4th, ...; ``'interval_<n>'``, n layers at
            equal distances up to the last; ``'top_<n>'``, the last n; or a list of
            indices from 0.
        temporal: ``'conv'``, ``'attention'`` or ``'none'`` (Table 9b).
        cls_shift: let patches also look at the neighbouring frames' class tokens (9c).
        fusion: ``'mean'`` of side and trunk tokens, as released, or their ``'sum'`` (Eq. 2).
        norm: ``'pre'`` (released with CLIP trunks) or ``'post'`` (with EVA trunks).
        representation: ``'avg_pool'`` over the patches, ``'trunk_cls'``, a token that takes
            up the trunk's class tokens, or ``'side_cls'``, a learned one, which sees them
            in attention alone (Table 9d).
        output: ``'clip'``, (B, C), or ``'frames'`` for retrieval, one joint image-text
            vector a frame, (B, T, E), Eq. 4.
        cls_position: give the class token a row of the position table, as the released
            retrieval models with CLIP trunks have.
        final_norm: batch norm after the last side block; None for what is released: yes,
            except for recognition with norm='post'.
        head_dims: channels of an attention head.
        with_cp: recompute each side block in the backward pass; about half the memory.

    Raises:
        ValueError: for an unknown choice, layers the trunk does not have, or a width that
            the head width does not divide.
    """

    def __init__(
        self,
        trunk: Trunk,
        side_dims: int = 320,
        layers: str | Sequence[int] = 'all',
        temporal: str = 'conv',
        cls_shift: bool = True,
        fusion: str = 'mean',
        norm: str = 'pre',
        representation: str = 'avg_pool',
        output: str = 'clip',
        cls_position: bool = False,
        final_norm: bool | None = None,
        head_dims: int = 64,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.output = check_output(output, trunk, 'Side4VideoViT')
        self.out_channels = trunk.joint_dims if output == 'frames' else side_dims
        check_choices(temporal, fusion, norm, representation)
        check_sizes(trunk, side_dims, head_dims, cls_shift, representation)
        self.reads = select_layers(layers, len(trunk.blocks))
        self.last = len(trunk.blocks) - 1 if output == 'frames' else self.reads[-1]
        self.representation, self.with_cp = representation, with_cp
        self.stem = Stem(trunk.patch_size, side_dims)
        num_patches = trunk.grid[0] * trunk.grid[1]
        self.position_embedding = nn.Parameter(torch.empty(num_patches + cls_position, side_dims))
        options = (head_dims, temporal, cls_shift, fusion, norm, representation == 'side_cls')
        self.blocks = nn.ModuleList(
            SideBlock(trunk.embed_dims, side_dims, *options) for _ in self.reads
        )
        if representation == 'side_cls':
            self.class_token = nn.Parameter(0.02 * torch.randn(side_dims))
        if norm == 'pre' or output == 'frames' if final_norm is None else final_norm:
            self.norm = nn.BatchNorm1d(side_dims)
        if output == 'frames':
            self.up = nn.Parameter(torch.zeros(side_dims, trunk.embed_dims))
        initialise(self, norm, output)

    def start(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, L, C), the side tokens before the first layer.

        L = N, and one more in front where a class token is carried along: the side
        network's own (``'side_cls'``), or one that starts at zero and takes up the trunk's
        as the patches do (``'trunk_cls'``).
        """
        check_video(video)
        s = self.stem(video)
        if self.representation == 'avg_pool':
            return s
        own = getattr(self, 'class_token', s.new_zeros(s.shape[-1])).to(s.dtype)
        return torch.cat([own.expand(len(s), 1, -1), s], dim=1)

    def read(
        self, s: Tensor, layer: int, tokens: Sequence[Tensor], trunk: Trunk, num_frames: int
    ) -> Tensor:
        """Side tokens after a trunk layer; unchanged if it is not read.

        Args:
            s: (B·T, L, C).
            layer: index of the trunk layer.
            tokens: its output in chunks (M, prefix + N, D).
            trunk: the image encoder, for the number of tokens before the patches.
            num_frames: T.

        Returns:
            (B·T, L, C).
        """
        if layer not in self.reads:
            return s
        block = self.blocks[self.reads.index(layer)]
        tokens = self.select(tokens, trunk)
        if not (self.with_cp and torch.is_grad_enabled()):
            return block(s, tokens, self.position_embedding, num_frames)
        return recomputed(block, s, tokens, self.position_embedding, num_frames)

    @staticmethod
    def select(tokens: Sequence[Tensor], trunk: Trunk) -> Sequence[Tensor]:
        """Class token and patches of chunks (M, prefix + N, D); registers are not read.

        Where there is no class token another one stands in its place, and nothing reads it.
        """
        prefix = trunk.num_prefix_tokens
        if prefix == 1:
            return tokens
        return [torch.cat([x[:, :1], x[:, prefix:]], dim=1) for x in tokens]

    def finish(self, s: Tensor, tokens: Sequence[Tensor], trunk: Trunk, num_frames: int) -> Tensor:
        """The feature, from the side tokens and the last layer's trunk tokens.

        Args:
            s: (B·T, L, C).
            tokens: chunks (M, prefix + N, D).
            trunk: the image encoder, for its final norm and projection.
            num_frames: T.

        Returns:
            (B, C), the mean over time (Eq. 3), or (B, T, E) (Eq. 4).
        """
        x = self.pool(s)
        if self.output == 'clip':
            return rearrange(x, '(b t) c -> b t c', t=num_frames).mean(dim=1)
        cls = torch.cat([trunk.readout(chunk) for chunk in tokens])
        return read_out(trunk, cls + F.linear(x, self.up.T), num_frames, self.output)

    def pool(self, s: Tensor) -> Tensor:
        """(B·T, L, C) -> (B·T, C): the final norm, and the patches' mean or the class token."""
        s = batch_norm(self.norm, s) if hasattr(self, 'norm') else s
        return s.mean(dim=1) if self.representation == 'avg_pool' else s[:, 0]


@MODELS.register_module()
class Side4VideoViT(BaseModule):
    """Frozen trunk with a side network that reads its layers; nothing flows back into it.

    The trunk runs without gradients while nothing up to its last layer is tuned, and hands
    each layer's tokens on at once: what is kept of the trunk for the backward pass is the
    input of each layer's down projection alone.

    Args:
        trunk: config of the pretrained image encoder.
        frames_per_pass: frames the trunk takes at a time, which bounds the memory of its
            inner activations; None for all at once.
        side: the side network's options: ``side_dims``, ``layers``, ``temporal``,
            ``cls_shift``, ``fusion``, ``norm``, ``representation``, ``output``,
            ``cls_position``, ``final_norm``, ``head_dims``, ``with_cp``; see `SideNetwork`.

    Raises:
        ValueError: for options that do not fit the trunk; see `SideNetwork`.
    """

    def __init__(self, trunk: dict, frames_per_pass: int | None = 64, **side) -> None:
        super().__init__()
        self.trunk = MODELS.build(trunk)
        self.frames_per_pass = check_portion(frames_per_pass)
        self.side = SideNetwork(self.trunk, **side)

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.side.out_channels

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, C) or (B, T, E), see ``output``, for any T."""
        num_frames, side, trunk = video.shape[2], self.side, self.trunk
        s = side.start(video)
        for i, tokens in enumerate(trunk_layers(trunk, video, side.last, self.frames_per_pass)):
            s = side.read(s, i, tokens, trunk, num_frames)
        x = side.finish(s, tokens, trunk, num_frames)
        return keep_in_graph(x, idle_parameters(trunk, side.last)) if side.output == 'clip' else x


def trunk_layers(
    trunk: Trunk, video: Tensor, last: int, frames_per_pass: int | None = None
) -> Iterator[list[Tensor]]:
    """Run a trunk on a video's frames and yield each layer's tokens as soon as they exist.

    Gradients are recorded only where something up to the last layer is tuned.

    Args:
        trunk: the image encoder.
        video: (B, 3, T, H, W).
        last: index of the last layer wanted.
        frames_per_pass: frames taken through a layer at a time; None for all.

    Yields:
        Per layer the chunks (M, prefix + N, D), together the B·T frames in order; always the
        same list, so that a layer that nobody reads is gone when the next exists.
    """
    frames = rearrange(video, 'b c t h w -> (b t) c h w')
    recording = torch.is_grad_enabled() and trunk.trains_layers
    with torch.set_grad_enabled(recording):
        chunks = [trunk.embed(part) for part in frames.split(frames_per_pass or len(frames))]
    del frames  # as large as the video
    for block in trunk.blocks[: last + 1]:
        with torch.set_grad_enabled(recording):
            for i in range(len(chunks)):  # no name may hold on to the layer before
                chunks[i] = block(chunks[i])
        yield chunks


def idle_parameters(trunk: Trunk, last: int) -> list[nn.Parameter]:
    """Tuned parameters of the trunk that follow layer ``last`` and influence nothing."""
    idle = [p for block in trunk.blocks[last + 1 :] for p in block.parameters()]
    return [p for p in (*idle, *trunk.parameters_after_blocks()) if p.requires_grad]


def select_layers(layers: str | Sequence[int], num_layers: int) -> list[int]:
    """Indices of the trunk layers read; see `Side4VideoViT`.

    Raises:
        ValueError: for an unknown choice or more side blocks than trunk layers.
    """
    kind, _, number = layers.partition('_') if isinstance(layers, str) else ('', '', '')
    count = int(number) if number.isdigit() else 0
    if kind in ('interval', 'top') and count > num_layers:
        raise ValueError(
            f'Side4VideoViT: {count} side blocks were asked for and the trunk has {num_layers} '
            'layers; there can be at most one a layer. Lower the number in `layers`.'
        )
    if layers == 'interval' and num_layers > 1:
        return list(range(1, num_layers, 2))
    if kind == 'interval' and count:
        return [(k + 1) * num_layers // count - 1 for k in range(count)]
    try:
        return select_blocks(f'last_{number}' if kind == 'top' else layers, num_layers)
    except ValueError:
        raise ValueError(
            "Side4VideoViT: layers must be 'all', 'interval', 'interval_<n>', 'top_<n>' or a list "
            f'of different indices from 0 to {num_layers - 1}, got {layers!r}.'
        ) from None


def check_choices(temporal: str, fusion: str, norm: str, representation: str) -> None:
    """Raise ValueError for a word that is not in `CHOICES`."""
    given = dict(temporal=temporal, fusion=fusion, norm=norm, representation=representation)
    for field, word in given.items():
        if word not in CHOICES[field]:
            raise ValueError(
                f'Side4VideoViT: {field} must be one of {", ".join(CHOICES[field])}, got {word!r}.'
            )


def check_sizes(
    trunk: Trunk,
    side_dims: int,
    head_dims: int,
    cls_shift: bool,
    representation: str,
) -> None:
    """Raise ValueError for sizes that do not fit each other or the trunk."""
    if min(side_dims, head_dims) < 1 or side_dims % head_dims:
        raise ValueError(
            f'Side4VideoViT: side_dims must be a multiple of head_dims = {head_dims}, got '
            f'{side_dims}. The paper has 192, 320, 512 and 576 with 64.'
        )
    if not trunk.has_class_token and (cls_shift or representation == 'trunk_cls'):
        raise ValueError(
            f'Side4VideoViT: {type(trunk).__name__} has no class token to shift or read. Set '
            "cls_shift=False and representation to 'avg_pool' or 'side_cls'."
        )


def check_portion(frames_per_pass: int | None) -> int | None:
    """Return a number of frames that a trunk may take at a time, or raise ValueError."""
    if frames_per_pass is not None and not (
        isinstance(frames_per_pass, int) and frames_per_pass > 0
    ):
        raise ValueError(
            'Side4VideoViT: frames_per_pass must be a positive whole number or None, got '
            f'{frames_per_pass}.'
        )
    return frames_per_pass


def check_video(video: Tensor) -> None:
    """Raise ValueError if a tensor is not a batch of clips."""
    if video.ndim != 5 or video.shape[1] != 3:
        raise ValueError(
            'Side4VideoViT: clips must be (B, 3, T, H, W), so that every clip of a batch has the '
            f"same number of frames, got {tuple(video.shape)}. Set format_shape='NCTHW' in the "
            'data preprocessor.'
        )


@torch.no_grad()
def initialise(side: SideNetwork, norm: str, output: str) -> None:
    """The released initial values, which differ by trunk and task.

    Everything not named keeps PyTorch's default. Recognition with a CLIP trunk: normal
    values for attention and MLP. Retrieval with a CLIP trunk: all linear maps N(0, 0.02)
    with zero bias. EVA trunks: PyTorch's defaults throughout.
    """
    dims = side.position_embedding.shape[1]
    nn.init.normal_(side.position_embedding, std=0.02 if norm == 'post' else 0.01)
    if norm == 'post':
        return
    for block in side.blocks:
        nn.init.normal_(block.attn.in_proj.weight, std=dims**-0.5)
        nn.init.zeros_(block.attn.in_proj.bias)
        nn.init.zeros_(block.attn.out_proj.bias)
        if output == 'frames':
            _initialise_retrieval(block, dims)
        else:  # the 24 is the released code's, whatever the number of layers
            nn.init.normal_(block.attn.out_proj.weight, std=(24 * dims) ** -0.5)
            nn.init.normal_(block.mlp.fc1.weight, std=(2 * dims) ** -0.5)
            nn.init.normal_(block.mlp.fc2.weight, std=(24 * dims) ** -0.5)


def _initialise_retrieval(block: SideBlock, dims: int) -> None:
    for linear in (block.down.linear, block.attn.out_proj, block.mlp.fc1, block.mlp.fc2):
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
    if hasattr(block, 'conv'):
        nn.init.normal_(block.conv.pw1.weight, std=0.02)
        nn.init.normal_(block.conv.pw2.weight, std=0.02)
        nn.init.normal_(block.conv.dw.weight, std=dims**-0.5)
