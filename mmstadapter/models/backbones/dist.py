"""DiST: beside a frozen image model one thin network sees all frames, another joins the two.

Qing et al., "Disentangling Spatial and Temporal Learning for Efficient Image-to-Video Transfer
Learning", ICCV 2023.
"""

from collections.abc import Iterable, Sequence

import torch
from einops import rearrange, repeat
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.elementwise import LayerNorm, keep_in_graph
from ..ops.linear import Linear
from ..ops.positions import time_positions
from ..ops.time_conv import TimeMLP, TimeSpaceNet
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from ..trunks.block import read_by
from ..trunks.clip_vit import MLP, CLIPBlock
from . import beside
from .by_frame import ByFrame, Looked, keep_layers, kept_layers
from .dist_options import check_options, initialise, whole_strides


class DiSTLayer(nn.Module):
    """The temporal stream u (C wide, T frames) meets a trunk layer Z (S = T/a frames).

        u = TimeSpaceNet(u);  z = W Z + r;  d = repeat_a(V z)
        z = z + [e; Conv_ax1x1(u)];  r = MLP(LN z) + TimeMLP(LN z);  u = u + d

    e is learned, for the class token of each frame. The arguments are those of `DiSTViT`.
    """

    def __init__(
        self, embed_dims: int, dims: int, temporal_dims: int, rows: int, stride: int,
        kernel_size: int, ratios: Sequence[float],
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = [int(r * n) for r, n in zip(ratios, (temporal_dims, dims, dims), strict=True)]
        self.temporal = TimeSpaceNet(temporal_dims, hidden[0], kernel_size)
        self.down, self.to_temporal = Linear(embed_dims, dims), Linear(dims, temporal_dims)
        self.cls_token = nn.Parameter(torch.empty(rows, dims))
        self.stride, step = stride, (stride, 1, 1)
        self.from_temporal = nn.Conv3d(temporal_dims, dims, step, step)
        self.ln_1, self.ln_2 = LayerNorm(dims), LayerNorm(dims)
        self.mlp = MLP(dims, hidden[1], 'quick_gelu')
        self.time_mlp = TimeMLP(dims, hidden[2], kernel_size)

    def forward(self, u: Tensor, r: Tensor | float, *tokens: Tensor) -> tuple[Tensor, ...]:
        """(B, C, T, h, w), (B·S, 1+N, M), chunks of (B·S, 1+N, D) -> the next u and r, and z."""
        u = self.temporal(u)
        z = torch.cat([self.down(chunk) for chunk in tokens]) + r
        d, z = self.spread(z, u), z + self.collect(u)
        num_frames = z.shape[0] // u.shape[0]
        return u + d, self.mlp(self.ln_1(z)) + self.time_mlp(self.ln_2(z), num_frames), z

    def spread(self, z: Tensor, u: Tensor) -> Tensor:
        """repeat_a(V z), shaped as u."""
        d = self.to_temporal(z[:, 1:]).unflatten(1, u.shape[3:])
        return repeat(d, '(b s) h w c -> b c (s a) h w', b=u.shape[0], a=self.stride)

    def collect(self, u: Tensor) -> Tensor:
        """[e; Conv_ax1x1(u)], (B, C, T, h, w) -> (B·S, 1+N, M)."""
        patches = rearrange(self.from_temporal(u), 'b m s h w -> b s (h w) m')
        e = time_positions(self.cls_token, patches.shape[1]).to(patches.dtype)
        e = repeat(e, 's m -> b s 1 m', b=u.shape[0])
        return torch.cat([e, patches], dim=2).flatten(0, 1)


class AdaPooling(nn.Module):
    """A query a frame reads the frame's tokens, then one a clip reads the frames' queries.

    q_s = q_s + CA(LN q_s, LN z);          q_s = q_s + MLP(LN q_s)
    q_t = q_t + CA(LN q_t, LN (q_s + P));  q_t = q_t + MLP(LN q_t)
    """

    def __init__(self, dims: int, rows: int) -> None:
        super().__init__()
        self.space, self.time = (CLIPBlock(dims, max(1, dims // 64)) for _ in range(2))
        self.positions = nn.Parameter(torch.empty(rows, dims))

    def forward(self, q_t: Tensor, q_s: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, M), (B·S, 1, M), (B·S, 1+N, M) -> q_t and q_s."""
        q_s = read_by(self.space, q_s, z)
        frames = rearrange(q_s, '(b s) 1 m -> b s m', b=q_t.shape[0])
        frames = frames + time_positions(self.positions, frames.shape[1]).to(frames.dtype)
        return read_by(self.time, q_t, frames), q_s


@MODELS.register_module()
class DiSTViT(ByFrame, Recomputing, BaseModule):
    """Frozen trunk on some frames, a thin network on all, and one beside both that joins them.

    Nothing flows back into a frozen trunk. `TextHead` compares the feature with class names.

    Args:
        trunk: the pretrained image encoder or its config, with a class token.
        num_frames: T of the tables over time; other lengths take their nearest rows.
        stride: a; the trunk sees frames 0, a, 2a, ..., and the last one fills up a stride.
        blocks: the trunk layers read, ``'all'``, ``'last_<n>'`` or indices; -1: its input.
        dims, temporal_dims: widths M and C of the joining and the thin network.
        output_dims: width E of the feature; None leaves it at M.
        num_poolings: `AdaPooling` layers, 2 on Something-Something and 4 on Kinetics.
        stem_frames, kernel_size: frames of the first convolution and of the others.
        ratios: inner over outer width of the thin network, of MLPs and of MLPs over time.
        frames_per_pass, recompute, with_cp: see `EVLViT`.
    """

    def __init__(
        self, trunk: dict | nn.Module, num_frames: int = 16, stride: int = 2,
        blocks: str | Sequence[int] = 'all', dims: int = 384, temporal_dims: int = 96,
        output_dims: int | None = 512, num_poolings: int = 2, stem_frames: int = 5,
        kernel_size: int = 3, ratios: Sequence[float] = (1, 1, 0.25),
        frames_per_pass: int | None = 64, recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        trunk = self.trunk = built_trunk(trunk, 'DiSTViT')
        self.reads = check_options(trunk, blocks, num_frames, stride, stem_frames, kernel_size)
        self.frames_per_pass = beside.check_portion(frames_per_pass, 'DiSTViT')
        self.stride, self.out_channels = stride, output_dims or dims
        p, k, rows = trunk.patch_size, stem_frames, -(-num_frames // stride)
        self.stem = nn.Conv3d(3, temporal_dims, (k, p, p), (1, p, p), (k // 2, 0, 0))
        sizes = (trunk.embed_dims, dims, temporal_dims, rows, stride, kernel_size, ratios)
        self.layers = nn.ModuleList(DiSTLayer(*sizes) for _ in self.reads)
        self.query, self.frame_query = (nn.Parameter(torch.empty(dims)) for _ in range(2))
        self.poolings = nn.ModuleList(AdaPooling(dims, rows) for _ in range(num_poolings))
        self.cls_proj, self.ln = Linear(trunk.embed_dims, dims), LayerNorm(dims)
        self.proj = Linear(dims, output_dims, bias=False) if output_dims else nn.Identity()
        initialise(self)
        self.recompute = chosen_step(recompute, with_cp, 'DiSTViT')

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, E), for any T."""
        seen = self.trunk, self.looked_at(video), self.reads[-1], self.frames_per_pass
        layers = beside.trunk_layers(*seen, embedded=True, run=self.trunk_block)
        return self.along(video, layers)

    def looked_at(self, video: Tensor) -> Tensor:
        """Frames 0, a, 2a, ..."""
        return whole_strides(video, self.stride)[:, :, :: self.stride]

    def look(self, images: Tensor) -> Looked:
        """The layers that are read. (M, 3, H, W) -> tensors (M, prefix + N, D)."""
        seen = self.trunk, images.unsqueeze(2), self.reads[-1], self.frames_per_pass
        return keep_layers(beside.trunk_layers(*seen, embedded=True), self.reads, first=-1)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """Both networks along them; see `ByFrame`."""
        return self.along(video, kept_layers(looked, self.reads, self.reads[-1], first=-1))

    def along(self, video: Tensor, layers: Iterable[list[Tensor]]) -> Tensor:
        """Both networks along the trunk's input and layers, chunks of frames each."""
        video = whole_strides(video, self.stride)
        u, r, trunk, last = self.stem(video), 0.0, self.trunk, self.reads[-1]
        for i, tokens in enumerate(layers, start=-1):
            if i in self.reads:
                layer = self.layers[self.reads.index(i)]
                given = beside.class_and_patches(tokens, trunk)
                u, r, z = self.again('block', layer, u, r, *given)
        cls = torch.cat([chunk[:, 0] for chunk in tokens]).unflatten(0, (video.shape[0], -1))
        idle = [*beside.idle_parameters(trunk, last), *layer.to_temporal.parameters()]
        return keep_in_graph(self.pool(z + r, cls), idle)

    def pool(self, z: Tensor, cls: Tensor) -> Tensor:
        """(B·S, 1+N, M) and the trunk's class tokens (B, S, D) -> (B, E)."""
        q_t = self.query.expand(cls.shape[0], 1, -1)
        q_s = self.frame_query.expand(z.shape[0], 1, -1)
        for pooling in self.poolings:
            q_t, q_s = pooling(q_t, q_s, z)
        return self.proj(self.ln(q_t[:, 0] + self.cls_proj(cls.mean(dim=1))))
