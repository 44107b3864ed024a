"""AIM: a frozen image model whose own attention also looks along time, with bottleneck adapters.

Yang et al., "AIM: Adapting Image Models for Efficient Video Action Recognition", ICLR 2023.
"""

from functools import partial

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmstadapter.models.ops.positions import time_positions


class Adapter(nn.Module):
    """A(u) = scale · (W_b GELU(W_a u + a) + b), plus u with a skip; W_b and b start at zero.

    Args:
        embed_dims: width D.
        bottleneck_dims: width d inside.
        skip: whether u is added.
        scale: factor of the adapter.
    """

    def __init__(
        self, embed_dims: int, bottleneck_dims: int, skip: bool = True, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.skip, self.scale = skip, scale
        self.fc1 = nn.Linear(embed_dims, bottleneck_dims)
        self.fc2 = nn.Linear(bottleneck_dims, embed_dims)
        nn.init.trunc_normal_(self.fc1.weight, std=0.02)
        for tensor in (self.fc1.bias, self.fc2.weight, self.fc2.bias):
            nn.init.zeros_(tensor)

    def forward(self, u: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        out = self.scale * self.fc2(F.gelu(self.fc1(u)))
        return u + out if self.skip else out


class AIMViT(BaseModule):
    """Each block attends over time, then over space, with the same weights; then its MLP.

    Starts as the image model on single frames. The trunk's last norm is trained in the
    released models: ``trunk.tune='last_0'``.

    Args:
        trunk: config of the pretrained image encoder.
        num_frames: rows of the table of time positions; other clip lengths take the
            nearest rows.
        ratio: bottleneck width of the adapters over D.
        scale: factor of the adapter beside the MLP; 0.5, and 1 on Something-Something.
        time_in: whether there is an adapter before the attention over time as well
            (Something-Something).
    """

    def __init__(
        self,
        trunk: dict,
        num_frames: int = 8,
        ratio: float = 0.25,
        scale: float = 0.5,
        time_in: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = MODELS.build(trunk)
        dims, depth = self.trunk.embed_dims, len(self.trunk.blocks)
        self.time_embed = nn.Parameter(torch.zeros(num_frames, dims))

        def adapters(**options) -> nn.ModuleList:
            return nn.ModuleList(Adapter(dims, int(ratio * dims), **options) for _ in range(depth))

        self.time_in = adapters() if time_in else [None] * depth
        self.time_out = adapters(skip=False)
        self.space_out = adapters()
        self.beside_mlp = adapters(skip=False, scale=scale)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        t, last = video.shape[2], len(self.trunk.blocks) - 1
        frames = rearrange(video, 'b c t h w -> (b t) c h w')
        x = self.trunk.embed(frames, pre=partial(self.add_time, num_frames=t))
        for i, block in enumerate(self.trunk.blocks):
            places, queries = x.shape[1], self.trunk.readout_tokens if i == last else None
            x = rearrange(x, '(b t) n d -> (b n) t d', t=t)
            x = block.attend(x, pre=self.time_in[i], post=self.time_out[i])
            x = rearrange(x, '(b n) t d -> (b t) n d', n=places)
            x = block.attend(x, num_queries=queries, post=self.space_out[i])
            x = block.feed_forward(x, beside=self.beside_mlp[i])
        frames = self.trunk.final_norm(self.trunk.readout(x))
        return rearrange(frames, '(b t) d -> b t d', t=t).mean(dim=1)

    def add_time(self, x: Tensor, num_frames: int) -> Tensor:
        """Add a frame's time position to all its tokens. (B·T, L, D) -> same."""
        time = time_positions(self.time_embed, num_frames).to(x.dtype)
        return x + time.repeat(len(x) // num_frames, 1)[:, None]
