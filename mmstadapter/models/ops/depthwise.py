"""Depth-wise 3-D convolution on token tensors, in several exact forms.

The convolution is the only part of ST-Adapter that mixes frames, and the stock
``conv3d`` is by far the slowest way to compute it on tokens. ``benchmarks/depthwise.py``
measures the forms below; `choose` holds its outcome.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .devices import device_of
from .dtypes import summing_dtype
from .recompute import remakeable


def conv3d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The stock operator. (B, T, h, w, C) -> (B, T, h, w, C), any odd kernel."""
    padding = [k // 2 for k in weight.shape[2:]]
    x = rearrange(x, 'b t h w c -> b c t h w')
    x = F.conv3d(x, weight, bias, padding=padding, groups=x.shape[1])
    return rearrange(x, 'b c t h w -> b t h w c')


def frames_conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A sum over time offsets of 2-d convolutions. (B, T, h, w, C) -> same, any odd kernel.

    A frame's (C, h, w) view of its tokens is channels-last, which 2-d depth-wise
    convolution takes without a copy.
    """
    num_frames, reach = x.shape[1], weight.shape[2] // 2
    images = rearrange(x, 'b t h w c -> (b t) c h w')
    padding = [k // 2 for k in weight.shape[3:]]
    out = None
    for offset in sorted(range(-reach, reach + 1), key=abs):
        if abs(offset) >= num_frames:
            continue
        kernel = weight[:, :, reach + offset]
        part = F.conv2d(
            images, kernel, bias if offset == 0 else None, padding=padding, groups=x.shape[-1]
        )
        part = rearrange(part, '(b t) c h w -> b t h w c', t=num_frames)
        out = part if out is None else out + shift(part, offset)
    return out


def time_conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A (k, 1) convolution of the (T, N) plane. (B, T, h, w, C) -> same, kernel (k, 1, 1).

    The layout changes are views that stay channels-last; einops would give a batch of
    one another stride, and the convolution would then copy.
    """
    height, width, channels = x.shape[2:]
    plane = x.flatten(2, 3).permute(0, 3, 1, 2)
    padding = (weight.shape[2] // 2, 0)
    plane = F.conv2d(plane, weight[:, :, :, :, 0], bias, padding=padding, groups=channels)
    return plane.permute(0, 2, 3, 1).unflatten(2, (height, width))


def time_conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1-d convolution at every place. (B, T, h, w, C) -> same, kernel (k, 1, 1)."""
    batch, _, height, width, channels = x.shape
    lines = rearrange(x, 'b t h w c -> (b h w) c t')
    lines = F.conv1d(
        lines, weight[:, :, :, 0, 0], bias, padding=weight.shape[2] // 2, groups=channels
    )
    return rearrange(lines, '(b h w) c t -> b t h w c', b=batch, h=height)


def shift(x: Tensor, offset: int) -> Tensor:
    """out[:, t] = x[:, t + offset], zeros beyond the clip's ends. (B, T, ...) -> same."""
    if offset == 0:
        return x
    return F.pad(x, (*(0, 0) * (x.dim() - 2), -offset, offset))  # a compiler makes no copy of it


def _add_scaled(out: Tensor, x: Tensor, scale: Tensor, offset: int) -> None:
    """out[:, t] += scale * x[:, t + offset] where t + offset is inside the clip."""
    num_frames = x.shape[1]
    if offset >= 0:
        out[:, : num_frames - offset].addcmul_(x[:, offset:], scale)
    else:
        out[:, -offset:].addcmul_(x[:, :offset], scale)


class _ShiftedAdds(torch.autograd.Function):
    """Kernel (k, 1, 1) as k scaled and shifted additions, keeping its input alone."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        taps = weight[:, 0, :, 0, 0].t().to(x.dtype)
        reach = len(taps) // 2
        out = torch.addcmul(bias.to(x.dtype), x, taps[reach])
        for offset in range(-reach, reach + 1):
            if offset and abs(offset) < x.shape[1]:
                _add_scaled(out, x, taps[reach + offset], offset)
        ctx.save_for_backward(x, weight)
        ctx.bias_dtype = bias.dtype
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        taps = weight[:, 0, :, 0, 0].t().to(grad.dtype)
        num_frames, reach = x.shape[1], len(taps) // 2
        dx = grad * taps[reach] if ctx.needs_input_grad[0] else None
        dweight = torch.zeros(len(taps), x.shape[-1], dtype=weight.dtype, device=x.device)
        for offset in range(-reach, reach + 1):
            if abs(offset) >= num_frames:
                continue
            first, last = max(0, -offset), num_frames - max(0, offset)
            source, target = x[:, first + offset : last + offset], grad[:, first:last]
            dweight[reach + offset] = _sum_over_places(source, target, weight.dtype)
            if dx is not None and offset:
                dx[:, first + offset : last + offset].addcmul_(target, taps[reach + offset])
        dbias = grad.sum(dim=(0, 1, 2, 3), dtype=summing_dtype(grad)).to(ctx.bias_dtype)
        return dx, dweight.t().reshape(weight.shape), dbias


def _sum_over_places(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum of a * b over all axes but the last, accumulated in ``dtype``. -> (C,)"""
    return (a * b).sum(dim=(0, 1, 2, 3), dtype=dtype)


def shifted_adds(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Scaled and shifted additions. (B, T, h, w, C) -> same, kernel (k, 1, 1)."""
    return _ShiftedAdds.apply(x, weight, bias)


def shifted_sum(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`shifted_adds` for a compiler, which fuses it and chooses what to keep."""
    taps = weight[:, 0, :, 0, 0].t().to(x.dtype)
    reach = len(taps) // 2
    out = bias.to(x.dtype) + taps[reach] * x
    for offset in range(-reach, reach + 1):
        if offset and abs(offset) < x.shape[1]:
            out = out + taps[reach + offset] * shift(x, offset)
    return out


TEMPORAL_FORMS: dict[str, Callable] = dict(
    conv3d=conv3d,
    conv1d=time_conv1d,
    conv2d=time_conv2d,
    shifted_adds=shifted_adds,
    shifted_sum=shifted_sum,
    frames_conv2d=frames_conv2d,
)
GENERAL_FORMS: dict[str, Callable] = dict(conv3d=conv3d, frames_conv2d=frames_conv2d)


def choose(kernel_size: tuple[int, int, int], device: str) -> str:
    """Name of the form to use for a kernel on a device.

    On CPUs by measurement, ``benchmarks/depthwise_*.md``. On GPUs the shifted
    additions, which read and write each element a fixed number of times, and for
    other kernels the 2-d form, since 3-d depth-wise convolution is reported slow there.
    """
    if kernel_size[1:] != (1, 1):
        return 'frames_conv2d'
    return 'conv2d' if device == 'cpu' else 'shifted_adds'


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depth-wise 3-D convolution of tokens, stride 1, zero padding, by the fastest form.

    Args:
        x: tokens (B, T, h, w, C).
        weight: (C, 1, kt, kh, kw) with odd kt, kh, kw.
        bias: (C,).

    Returns:
        (B, T, h, w, C).
    """
    form = choose((weight.shape[2], weight.shape[3], weight.shape[4]), device_of(x))
    if form == 'shifted_adds' and torch.compiler.is_compiling():
        form = 'shifted_sum'
    return TEMPORAL_FORMS[form](x, weight, bias)


class DepthwiseConv(nn.Conv3d):
    """A depth-wise ``nn.Conv3d`` of stride 1 that keeps T, h, w, computed by the fastest form.

    Args:
        dims: channels C.
        kernel_size: (time, height, width), odd.
    """

    def __init__(self, dims: int, kernel_size: tuple[int, int, int]) -> None:
        t, h, w = (k // 2 for k in kernel_size)
        super().__init__(dims, dims, kernel_size, padding=(t, h, w), groups=dims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> same, remakeable; a view of tokens (B, T, h, w, C) is not copied."""
        return remakeable(_channels_first_conv, x, self.weight, self.bias)


def _channels_first_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    x = depthwise_conv(rearrange(x, 'b c t h w -> b t h w c'), weight, bias)
    return rearrange(x, 'b t h w c -> b c t h w')
