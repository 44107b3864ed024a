"""Small networks of convolutions over time, none of them depth-wise (DiST)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from .elementwise import LayerNorm, quick_gelu
from .linear import Linear


class TimeConv(nn.Conv3d):
    """Convolution over ``kernel`` frames at each place, with zeros beyond the clip.

    Args:
        dims: channels.
        out_dims: channels that it gives.
        kernel: frames, odd, so that T is kept.
    """

    def __init__(self, dims: int, out_dims: int, kernel: int) -> None:
        super().__init__(dims, out_dims, (kernel, 1, 1), padding=(kernel // 2, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B, out, T, h, w), on CPUs in float32 whatever autocast says.

        Of few channels in bfloat16 the CPU's kernel gives, at times, no numbers as the gradient
        of the weight (torch 2.13).
        """
        if x.device.type != 'cpu' or not torch.is_autocast_enabled('cpu'):
            return super().forward(x)
        with torch.autocast('cpu', enabled=False):
            return super().forward(x.float())


class TimeSpaceNet(nn.Module):
    """QuickGELU(u + Conv_1x3x3 QuickGELU(Conv_kx1x1 LN u)), LN over the channels.

    Args:
        dims: channels C.
        hidden: channels between the two convolutions.
        kernel: frames of the first.
    """

    def __init__(self, dims: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.ln = LayerNorm(dims)
        self.time = TimeConv(dims, hidden, kernel)
        self.space = nn.Conv3d(hidden, dims, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, u: Tensor) -> Tensor:
        """(B, C, T, h, w) -> same."""
        y = self.ln(rearrange(u, 'b c t h w -> b t h w c'))
        y = self.time(rearrange(y, 'b t h w c -> b c t h w'))
        return quick_gelu(u + self.space(quick_gelu(y)))


class TimeMLP(nn.Module):
    """W_2 QuickGELU(Conv_kx1x1 W_1 z) at each place, also of tokens that are not patches.

    Args:
        dims: channels M.
        hidden: channels inside.
        kernel: frames of the convolution.
    """

    def __init__(self, dims: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.fc1 = Linear(dims, hidden)
        self.conv = TimeConv(hidden, hidden, kernel)
        self.fc2 = Linear(hidden, dims)

    def forward(self, z: Tensor, num_frames: int) -> Tensor:
        """(B·T, L, M) -> same."""
        y = self.conv(rearrange(self.fc1(z), '(b t) l m -> b m t l 1', t=num_frames))
        return self.fc2(quick_gelu(rearrange(y, 'b m t l 1 -> (b t) l m')))
