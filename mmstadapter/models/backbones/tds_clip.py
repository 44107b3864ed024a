"""TDS-CLIP: Side4Video's network, which also sees how the frames around each sampled one differ.

Wang et al., "TDS-CLIP: Temporal Difference Side Network for Image-to-Video Transfer Learning",
arXiv 2408.10688; equations as in its released code.
"""

from collections.abc import Iterable, Sequence

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.batch_norm import BatchNorm, normalise
from ..ops.clips import check_video
from ..ops.elementwise import keep_in_graph
from ..ops.linear import Linear
from ..ops.time_shift import from_frame
from ..parts import built_trunk
from ..recomputing import Recomputing
from ..trunks.base import Trunk
from .beside import check_portion, idle_parameters, trunk_layers
from .by_frame import ByFrame, Looked, keep_layers, kept_layers
from .side4video import SideBlock, SideNetwork
from .side4video.operators import PatchConv


def sampled(video: Tensor, num_diff: int) -> Tensor:
    """The middle frame of each group. (B, 3, T·n, H, W) -> (B, 3, T, H, W), or ValueError."""
    check_video(video, 'TDSCLIPViT')
    if video.shape[2] % num_diff:
        raise ValueError(
            f'TDSCLIPViT: clips must be whole groups of num_diff = {num_diff} neighbouring frames, '
            f"got {video.shape[2]} frames. Put dict(type='mmstadapter.AddNeighbours', "
            f'num_diff={num_diff}) behind the sampling step of every pipeline.'
        )
    return video[:, :, num_diff // 2 :: num_diff]


class DifferenceStem(nn.Module):
    """Groups f of n frames to side tokens: their middle ones, and what changes within each.

        s = BN(Conv(f_middle)) + 0.5 BN'(Conv'([f_1 - f_0, ..., f_{n-1} - f_{n-2}]))

    Both kernels are (3, p, p), over groups; patches lie a pixel up and left of the trunk's.
    """

    def __init__(self, patch_size: int, side_dims: int, num_diff: int) -> None:
        super().__init__()
        p, dims, changes, self.num_diff = patch_size, side_dims, 3 * (num_diff - 1), num_diff
        self.conv, self.norm = PatchConv(p, dims, border=1), BatchNorm(dims)
        self.diff_conv, self.diff_norm = PatchConv(p, dims, changes, border=1), BatchNorm(dims)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T·n, H, W) -> (B·T, N, C)."""
        s = normalise(self.norm, self.conv(sampled(video, self.num_diff)))
        return s + 0.5 * self.differences(video)

    def differences(self, video: Tensor) -> Tensor:
        """The second term, before it is halved. (B, 3, T·n, H, W) -> (B·T, N, C)."""
        f = rearrange(video, 'b c (t n) h w -> n b c t h w', n=self.num_diff)
        changes = rearrange(f[1:] - f[:-1], 'n b c t h w -> b (n c) t h w')
        return normalise(self.diff_norm, self.diff_conv(changes))


class MotionGate(nn.Module):
    """Let through between half and one and a half of u, by how it moves.

    b = BN_a(W_a u);  m = b - max(b_{t-1}, b_t, b_{t+1});  m = (m + mean over channels of m) / 2
    u = u (0.5 + sigmoid(BN_b(W_b m)))          frames beyond the clip do not count
    """

    ratio = 16  # of the width to that of b

    def __init__(self, dims: int) -> None:
        super().__init__()
        inner = dims // self.ratio
        self.down, self.up = Linear(dims, inner, bias=False), Linear(inner, dims, bias=False)
        self.bn_1, self.bn_2 = BatchNorm(inner), BatchNorm(dims)

    def forward(self, u: Tensor, num_frames: int) -> Tensor:
        """(B·T, N, C) -> same."""
        b = normalise(self.bn_1, self.down(rearrange(u, '(b t) n c -> b t n c', t=num_frames)))
        m = b - torch.maximum(torch.maximum(from_frame(b, -1), b), from_frame(b, 1))
        m = 0.5 * (m + m.mean(dim=-1, keepdim=True))
        gate = torch.sigmoid(normalise(self.bn_2, self.up(m.flatten(0, 1))))
        return 0.5 * u + u * gate  # which keeps u and the gate, and nothing else


class TDSBlock(SideBlock):
    """Side4Video's block with a gate behind the convolution over time."""

    def __init__(self, embed_dims: int, side_dims: int, **options) -> None:
        super().__init__(embed_dims, side_dims, **options)
        self.gate = MotionGate(side_dims)

    def over_time(self, s: Tensor, num_frames: int) -> Tensor:
        """(B·T, N, C) -> same."""
        return self.gate(super().over_time(s, num_frames), num_frames)


class TDSNetwork(SideNetwork):
    """Side4Video's network with these parts; arguments as of `TDSCLIPViT`."""

    who, block_type = 'TDSCLIPViT', TDSBlock

    def __init__(self, trunk: Trunk, side_dims: int, num_diff: int, **options) -> None:
        super().__init__(trunk, side_dims, **options)
        self.stem = DifferenceStem(trunk.patch_size, side_dims, num_diff)


@MODELS.register_module()
class TDSCLIPViT(ByFrame, Recomputing, BaseModule):
    """Frozen trunk on the sampled frames, a side network on them and their neighbours.

    A clip of T sampled frames comes as T groups of n neighbouring ones in order, T·n frames
    (`mmstadapter.AddNeighbours` takes them). Nothing flows back into a frozen trunk.

    Args:
        trunk: the pretrained image encoder or its config.
        side_dims: width C, a multiple of ``head_dims``: 320 (B/16), 512 (L/14).
        num_diff: frames n of a group, the sampled one in their midst.
        layers, cls_shift, head_dims, frames_per_pass, recompute, with_cp: see `Side4VideoViT`.
    """

    def __init__(
        self, trunk: dict | nn.Module, side_dims: int = 320, num_diff: int = 5,
        layers: str | Sequence[int] = 'all', cls_shift: bool = True, head_dims: int = 64,
        frames_per_pass: int | None = 64, recompute: str | None = None, with_cp: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        trunk = self.trunk = built_trunk(trunk, 'TDSCLIPViT')
        self.frames_per_pass = check_portion(frames_per_pass, 'TDSCLIPViT')
        if num_diff < 3 or num_diff % 2 == 0 or side_dims < MotionGate.ratio:
            raise ValueError(
                'TDSCLIPViT: num_diff must be odd, at least 3, so that a frame is in the middle, '
                f'and side_dims at least {MotionGate.ratio}, got {num_diff} and {side_dims}.'
            )
        options = dict(layers=layers, cls_shift=cls_shift, head_dims=head_dims, with_cp=with_cp)
        self.side = TDSNetwork(trunk, side_dims, num_diff, recompute=recompute, **options)
        self.num_diff, self.out_channels, self.recompute = num_diff, side_dims, self.side.recompute

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T·n, H, W) -> (B, C), for any T."""
        seen = self.trunk, self.looked_at(video), self.side.last, self.frames_per_pass
        return self.along(video, trunk_layers(*seen, run=self.trunk_block))

    def looked_at(self, video: Tensor) -> Tensor:
        """The middle frame of each group."""
        return sampled(video, self.num_diff)

    def look(self, images: Tensor) -> Looked:
        """The layers that are read. (M, 3, H, W) -> tensors (M, prefix + N, D)."""
        seen = self.trunk, images.unsqueeze(2), self.side.last, self.frames_per_pass
        return keep_layers(trunk_layers(*seen), self.side.used)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """The side network along them; see `ByFrame`."""
        return self.along(video, kept_layers(looked, self.side.used, self.side.last))

    def along(self, video: Tensor, layers: Iterable[list[Tensor]]) -> Tensor:
        """The side network along the trunk's layers, chunks of frames each."""
        trunk, side = self.trunk, self.side
        num_frames, s = self.looked_at(video).shape[2], side.start(video)
        for i, tokens in enumerate(layers):
            s = side.read(s, i, tokens, trunk, num_frames)
        feature = side.finish(s, tokens, trunk, num_frames)
        return keep_in_graph(feature, idle_parameters(trunk, side.last))
