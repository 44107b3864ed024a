"""The operators of a side block: down projection, over time, over space, MLP (section 3.3)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...ops.attention import attention_weights, heads_of_each
from ...ops.batch_norm import BatchNorm, normalise
from ...ops.depthwise import depthwise_conv, shift
from ...ops.dtypes import working_dtype
from ...ops.elementwise import LayerNorm
from ...ops.linear import Linear, gelu_linear, is_plain, norm_linear
from ...ops.products import product
from ...ops.recompute import remakeable


class Stem(nn.Module):
    """Video to side tokens: a 3-D convolution over three frames of patches, then batch norm.

    The start of Eq. 2's recurrence, s_0; the kernel (3, p, p), its bias and the norm are the
    released code's.
    """

    def __init__(self, patch_size: int, side_dims: int) -> None:
        super().__init__()
        self.conv = PatchConv(patch_size, side_dims)
        self.norm = BatchNorm(side_dims)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, N, C)."""
        return normalise(self.norm, self.conv(video))


class PatchConv(nn.Conv3d):
    """Convolution with kernel (3, p, p), stride (1, p, p) and zeros before and after the clip.

    Args:
        patch_size: p.
        side_dims: channels that it gives.
        in_channels: channels of a frame.
        border: zeros above and left of a frame, by which all patches are moved up and left.
    """

    def __init__(
        self, patch_size: int, side_dims: int, in_channels: int = 3, border: int = 0
    ) -> None:
        kernel, stride = (3, patch_size, patch_size), (1, patch_size, patch_size)
        super().__init__(in_channels, side_dims, kernel, stride, padding=(1, border, border))
        self.border = border

    def forward(self, video: Tensor) -> Tensor:
        """(B, c, T, H, W) -> (B·T, N, C).

        Patches do not overlap, so it is one matrix product for each of the three frames.
        """
        p = self.kernel_size[1]
        height, width = (size // p * p for size in video.shape[-2:])
        video = video[..., :height, :width]
        if self.border:
            video = F.pad(video, 2 * (self.border, -self.border))
        patches = rearrange(video, 'b c t (h p) (w q) -> b t (h w) (c p q)', p=p, q=p)
        weight = rearrange(self.weight, 'd c k p q -> (k d) (c p q)')
        before, now, after = product(patches, weight).chunk(3, dim=-1)
        s = now + self.bias.to(now.dtype) + shift(before, -1) + shift(after, 1)
        return s.flatten(0, 1)


class Down(nn.Module):
    """Trunk tokens to side width, Eq. 1: Linear(LayerNorm(Z)), or with norm='post' the reverse."""

    def __init__(self, embed_dims: int, side_dims: int, norm: str) -> None:
        super().__init__()
        self.post = norm == 'post'
        self.norm = LayerNorm(side_dims if self.post else embed_dims)
        self.linear = Linear(embed_dims, side_dims)

    def forward(self, z: Tensor) -> Tensor:
        """(M, L, D) -> (M, L, C)."""
        return self.norm(self.linear(z)) if self.post else norm_linear(z, self.norm, self.linear)

    def as_read(self, z: Tensor) -> Tensor:
        """The tokens in the type in which they are multiplied, for those who keep them.

        Where the linear map comes first, autocast turns float32 tokens into 16 bit before
        anything else is done to them: half as much to keep, and the same numbers.
        """
        first = self.post and z.dtype == torch.float32 and is_plain(self.linear, Linear)
        return z.to(working_dtype(z)) if first else z


class TemporalConv(nn.Module):
    """Pointwise, depth-wise over three frames, pointwise; nothing in between."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.pw1 = Linear(dims, dims)
        self.dw = ConvOverTime(dims)
        self.pw2 = Linear(dims, dims)

    def forward(self, s: Tensor, num_frames: int) -> Tensor:
        """(B·T, L, C) -> same."""
        u = rearrange(self.pw1(s), '(b t) l c -> b t l c', t=num_frames)
        return rearrange(self.pw2(self.dw(u)), 'b t l c -> (b t) l c')


class ConvOverTime(nn.Conv3d):
    """Depth-wise convolution over three frames, at every place by itself."""

    def __init__(self, dims: int) -> None:
        super().__init__(dims, dims, (3, 1, 1), padding=(1, 0, 0), groups=dims)

    def forward(self, u: Tensor) -> Tensor:
        """(B, T, L, C) -> same."""
        return remakeable(_conv_over_time, u, self.weight, self.bias)


def _conv_over_time(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return depthwise_conv(u.unsqueeze(3), weight, bias).squeeze(3)


class AttentionOverTime(nn.Module):
    """Self-attention over time at every place: the alternative of Table 9b.

    It has no position code, so the order of frames reaches the network through the stem and
    the shifted class tokens alone.
    """

    def __init__(self, dims: int, head_dims: int) -> None:
        super().__init__()
        self.head_dims = head_dims
        self.qkv = Linear(dims, 3 * dims)
        self.proj = Linear(dims, dims)

    def forward(self, s: Tensor, num_frames: int) -> Tensor:
        """(B·T, L, C) -> same."""
        q, k, v = rearrange(
            self.qkv(s), '(b t) l (n h d) -> n (b l) h t d', t=num_frames, n=3, d=self.head_dims
        )
        s_t = F.scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(s_t, '(b l) h t d -> (b t) l (h d)', l=s.shape[1]))


class SpatialAttention(nn.Module):
    """Attention of the side tokens of a frame to themselves and one class token."""

    def __init__(self, dims: int, head_dims: int) -> None:
        super().__init__()
        self.head_dims = head_dims
        self.in_proj = Linear(dims, 3 * dims)
        self.out_proj = Linear(dims, dims)

    def forward(self, x: Tensor, num_queries: int) -> Tensor:
        """(M, K, C) -> (M, Q, C): the last Q tokens look at all K."""
        q, k, v = self.project(x)
        y = F.scaled_dot_product_attention(q[:, :, -num_queries:], k, v)
        return self.out_proj(rearrange(y, 'm h l d -> m l (h d)'))

    def project(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values of all tokens, each (M, heads, K, head_dims)."""
        return heads_of_each(self.in_proj(x), 3, x.shape[-1] // self.head_dims)

    def weights(self, x: Tensor, num_queries: int) -> Tensor:
        """How much each of the last Q tokens looks at each of K. -> (M, heads, Q, K)."""
        q, k, _ = self.project(x)
        return attention_weights(q[:, :, -num_queries:], k)


def with_positions(s: Tensor, positions: Tensor, cls: Tensor | None = None) -> Tensor:
    """What attention sees: a class token if any, and s with positions added.

    Positions are added here alone, not to the residual stream, and not to the class token
    unless the table has a row for it (retrieval).

    Args:
        s: side tokens (M, L, C).
        positions: table (N, C), or (1 + N, C) with the class token's row first.
        cls: class tokens (M, 1, C) or None.

    Returns:
        (M, L, C), or (M, 1 + L, C) with a class token.
    """
    given = (positions,) if cls is None else (positions, cls)
    return remakeable(_with_positions, s, *given)


def _with_positions(s: Tensor, positions: Tensor, cls: Tensor | None = None) -> Tensor:
    x = s if cls is None else torch.cat([cls.to(s.dtype), s], dim=1)
    return x + F.pad(positions.to(x.dtype), (0, 0, x.shape[1] - positions.shape[0], 0))


def shifted_class_tokens(z: Tensor, num_frames: int) -> Tensor:
    """Class tokens of the frames beside: the first half of the channels of the next frame's,
    the second half of the one before, zeros beyond the clip. (B·T, 1 + N, C) -> (B·T, 1, C).
    """
    half = z.shape[-1] // 2
    cls = rearrange(z[:, 0], '(b t) c -> b t c', t=num_frames)
    cls = torch.cat([shift(cls[..., :half], 1), shift(cls[..., half:], -1)], dim=-1)
    return rearrange(cls, 'b t c -> (b t) 1 c')


class MLP(nn.Module):
    """Two linear maps with an exact GELU between them."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.fc1 = Linear(dims, 4 * dims)
        self.fc2 = Linear(4 * dims, dims)

    def forward(self, s: Tensor) -> Tensor:
        """(M, L, C) -> same."""
        return gelu_linear(self.fc1(s), self.fc2)
