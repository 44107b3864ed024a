"""ZeroI2V: heads that look at other frames, and linear adapters that merge into the image model.

Li et al., "ZeroI2V: Zero-Cost Adaptation of Pre-trained Transformers from Image to Video",
ECCV 2024.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmstadapter.models.ops.positions import time_positions


class LinearAdapter(nn.Module):
    """A(u) = u + scale · (W_b dropout(W_a u + a) + b); W_b and b start at zero.

    Args:
        embed_dims: width D.
        bottleneck_dims: width d inside.
        scale: factor of the adapter.
        dropout: rate inside the bottleneck.
    """

    def __init__(
        self, embed_dims: int, bottleneck_dims: int, scale: float = 1.0, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.scale = scale
        self.fc1 = nn.Linear(embed_dims, bottleneck_dims)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(bottleneck_dims, embed_dims)
        nn.init.trunc_normal_(self.fc1.weight, std=0.02)
        for tensor in (self.fc1.bias, self.fc2.weight, self.fc2.bias):
            nn.init.zeros_(tensor)

    def forward(self, u: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return u + self.scale * self.fc2(self.dropout(self.fc1(u)))


def look_away(x: Tensor, num_frames: int, shifts: Sequence[tuple[int, int]]) -> Tensor:
    """Keys or values with some channels of other frames, (B·T, L, D) -> same.

    The first D / div channels come from frame t + offset of the first pair, the next from
    that of the second, and so on; the rest are the frame's own, as are all where there is no
    such frame. D / div is rounded down and may cut through heads, as in the released code.

    Args:
        x: (B·T, L, D), clip-major, heads side by side.
        num_frames: T.
        shifts: pairs (offset, div).
    """
    x = rearrange(x, '(b t) l d -> b t l d', t=num_frames)
    folds = [x.shape[-1] // div for _, div in shifts]
    *parts, own = x.split([*folds, x.shape[-1] - sum(folds)], dim=-1)
    for i, (k, _) in enumerate(shifts):
        ends = (parts[i][:, :-k], parts[i][:, :k]) if k < 0 else (parts[i][:, k:], parts[i][:, -k:])
        parts[i] = torch.cat(ends, dim=1)
    return rearrange(torch.cat([*parts, own], dim=-1), 'b t l d -> (b t) l d')


class ZeroI2VViT(BaseModule):
    """A block's keys and values look at other frames; linear adapters around its matrices.

    The shift acts from the first step. The trunk's last norm is trained in the released
    models: ``trunk.tune='last_0'``.

    Args:
        trunk: config of the pretrained image encoder; its blocks must offer ``mix``.
        num_frames: rows of the table of time positions; else the nearest are taken.
        ratio: bottleneck width of the adapters over D.
        shifts: see `look_away`; a twelfth of the channels each way for ViT-B on Kinetics.
        mlp_out: whether there is an adapter after the MLP as well.
        scale, dropout: see `LinearAdapter`.
    """

    def __init__(
        self,
        trunk: dict,
        num_frames: int = 8,
        ratio: float = 0.25,
        shifts: Sequence[tuple[int, int]] = ((-1, 12), (1, 12)),
        mlp_out: bool = True,
        scale: float = 0.5,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.trunk, self.shifts = MODELS.build(trunk), shifts
        dims, depth = self.trunk.embed_dims, len(self.trunk.blocks)
        self.time_embed = nn.Parameter(torch.zeros(num_frames, dims))

        def adapters() -> nn.ModuleList:
            made = (LinearAdapter(dims, int(ratio * dims), scale, dropout) for _ in range(depth))
            return nn.ModuleList(made)

        self.attn_in, self.attn_out, self.mlp_in = adapters(), adapters(), adapters()
        self.mlp_out = adapters() if mlp_out else [None] * depth

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        t, last = video.shape[2], len(self.trunk.blocks) - 1
        time = time_positions(self.time_embed, t).repeat(len(video), 1)[:, None]
        frames = rearrange(video, 'b c t h w -> (b t) c h w')
        x = self.trunk.embed(frames, pre=lambda y: y + time.to(y.dtype))

        def mix(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return q, look_away(k, t, self.shifts), look_away(v, t, self.shifts)

        for i, block in enumerate(self.trunk.blocks):
            queries = self.trunk.readout_tokens if i == last else None
            x = block.attend(x, queries, pre=self.attn_in[i], mix=mix, post=self.attn_out[i])
            x = block.feed_forward(x, pre=self.mlp_in[i], post=self.mlp_out[i])
        frames = self.trunk.final_norm(self.trunk.readout(x))
        return rearrange(frames, '(b t) d -> b t d', t=t).mean(dim=1)
