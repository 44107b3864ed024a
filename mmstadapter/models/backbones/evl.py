"""EVL: a decoder beside a frozen image model reads its last layers, and how they move.

Lin et al., "Frozen CLIP Models are Efficient Video Learners", ECCV 2022.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.attention import CrossAttention
from ..ops.clips import check_video
from ..ops.depthwise import DepthwiseConv
from ..ops.elementwise import LayerNorm, keep_in_graph, quick_gelu
from ..ops.linear import Linear
from ..ops.neighbours import OffsetTables, gazes
from ..ops.positions import time_positions
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from ..trunks.block import require_mix
from .beside import (
    check_portion,
    check_words,
    idle_parameters,
    trunk_layers,
)
from .by_frame import ByFrame, Looked, Noted, keep_layers, kept_layers
from .st_adapter import select_blocks

TEMPORAL = ('conv', 'position', 'cross_attention')


class DecoderLayer(nn.Module):
    """The clip's query s reads a layer Z of the trunk, in which time has been marked.

        y = Z + DWConv(Z over T) + P[t] + C
        s = s + CA(LN s, LN y);  s = s + W_2 dropout(QuickGELU(W_1 LN s))

    Sections 3.2 and 3.3; the initial values are the released ones. The arguments are those of
    `EVLViT`, with the width D and the patches (h, w) of its trunk.
    """

    def __init__(
        self, dims: int, grid: tuple[int, int], temporal: Sequence[str], num_frames: int,
        attn_dims: int, num_heads: int, mlp_ratio: float, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = DepthwiseConv(dims, (3, 1, 1)) if 'conv' in temporal else None
        table = nn.Parameter(torch.zeros(num_frames, dims))
        self.time_embed = table if 'position' in temporal else None
        self.tables = OffsetTables(dims, grid) if 'cross_attention' in temporal else None
        self.ln_1, self.ln_2, self.ln_3 = (LayerNorm(dims) for _ in range(3))
        self.attn = CrossAttention(dims, attn_dims, num_heads)
        hidden = round(mlp_ratio * dims)
        self.fc1, self.fc2 = Linear(dims, hidden), Linear(hidden, dims)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, s: Tensor, z: Tensor, *seen: Tensor) -> Tensor:
        """Query s (B, 1, D), Z (B, T, L, D), `gazes` where they are marked -> (B, 1, D)."""
        y = rearrange(self.mark(z, *seen), 'b t l d -> b (t l) d')
        s = s + self.attn(self.ln_1(s), self.ln_3(y))
        return s + self.fc2(self.dropout(quick_gelu(self.fc1(self.ln_2(s)))))

    def mark(self, z: Tensor, *seen: Tensor) -> Tensor:
        """Z -> y, (B, T, L, D)."""
        y = z
        if self.conv is not None:
            u = self.conv(rearrange(z, 'b t l d -> b d t l 1'))
            y = y + rearrange(u, 'b d t l 1 -> b t l d')
        if self.time_embed is not None:
            y = y + time_positions(self.time_embed, z.shape[1]).to(z.dtype)[:, None]
        if self.tables is not None:
            code = self.tables(*seen)
            y = y + F.pad(code, (0, 0, z.shape[2] - code.shape[2], 0))  # of patches alone
        return y


@MODELS.register_module()
class EVLViT(ByFrame, Recomputing, BaseModule):
    """Frozen trunk whose last layers a learned query reads in turn, through a decoder beside it.

    Nothing flows back into the trunk, which runs without gradients while nothing in it is
    tuned; ``trunk.tune='all'`` trains it along.

    Args:
        trunk: the pretrained image encoder or its config.
        blocks: the trunk layers that are read: ``'last_<n>'``, ``'all'`` or a list of indices.
        temporal: what marks time, any of ``'conv'``, ``'position'``, ``'cross_attention'``.
        num_frames: rows of the position tables; other lengths take the nearest rows.
        attn_dims: width of the decoder's attention; D by default.
        num_heads: its heads; one for each 64 channels by default.
        mlp_ratio: hidden width of the decoder's MLPs over D.
        dropout: within these MLPs.
        frames_per_pass: frames the trunk takes at a time; None for all at once.
        recompute, with_cp: what the backward pass computes again, see `STAdapterViT`: of a
            decoder layer all or its elementwise steps.

    Raises:
        ValueError: for unknown words or layers, or a trunk whose attention cannot be read.
    """

    def __init__(
        self, trunk: dict | nn.Module, blocks: str | Sequence[int] = 'last_4',
        temporal: Sequence[str] = TEMPORAL, num_frames: int = 8,
        attn_dims: int | None = None, num_heads: int | None = None, mlp_ratio: float = 4.0,
        dropout: float = 0.5, frames_per_pass: int | None = 64, recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.trunk = built_trunk(trunk, 'EVLViT')
        self.out_channels = dims = self.trunk.embed_dims
        self.reads = select_blocks(blocks, len(self.trunk.blocks), 'EVLViT')
        self.looks = 'cross_attention' in check_words('EVLViT: temporal', temporal, TEMPORAL)
        if self.looks:
            require_mix(self.trunk, 'EVLViT')
        self.frames_per_pass = check_portion(frames_per_pass, 'EVLViT')
        self.query = nn.Parameter(torch.zeros(dims))
        width = attn_dims or dims
        options = (width, num_heads or max(1, width // 64), mlp_ratio, dropout)
        self.layers = nn.ModuleList(
            DecoderLayer(dims, self.trunk.grid, temporal, num_frames, *options) for _ in self.reads
        )
        self.ln = LayerNorm(dims)
        self.recompute = chosen_step(recompute, with_cp, 'EVLViT')

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        check_video(video, 'EVLViT')
        noted: Noted | None = [] if self.looks else None
        given = self.trunk, video, self.reads[-1], self.frames_per_pass
        layers = trunk_layers(*given, looked=noted, run=self.trunk_block)
        return self.along(video, layers, noted)

    def look(self, images: Tensor) -> Looked:
        """The layers that are read, queries and keys. (M, 3, H, W) -> tensors (M, L, D)."""
        noted: Noted | None = [] if self.looks else None
        given = self.trunk, images.unsqueeze(2), self.reads[-1], self.frames_per_pass
        return keep_layers(trunk_layers(*given, looked=noted), self.reads, noted)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """The decoder along them; see `ByFrame`."""
        noted: Noted | None = [] if self.looks else None
        return self.along(video, kept_layers(looked, self.reads, self.reads[-1], noted), noted)

    def along(self, video: Tensor, layers: Iterable[list[Tensor]], looked: Noted | None) -> Tensor:
        """The decoder along the trunk's layers, and what `looked` notes of each."""
        s, last = self.query.expand(video.shape[0], 1, -1), self.reads[-1]
        for i, tokens in enumerate(layers):
            if i in self.reads:
                seen = self.gazes(i, looked, video.shape[2]) if looked else ()
                z = rearrange(torch.cat(tokens), '(b t) l d -> b t l d', b=video.shape[0])
                layer = self.layers[self.reads.index(i)]
                s = self.again('block', layer, s, z, *seen)
        return keep_in_graph(self.ln(s[:, 0]), idle_parameters(self.trunk, last))

    def gazes(self, i: int, looked: list[tuple[Tensor, Tensor]], num_frames: int) -> list[Tensor]:
        """`gazes` of trunk layer i, from the chunks of its queries and keys."""
        prefix, heads = self.trunk.num_prefix_tokens, self.trunk.blocks[i].attn.num_heads
        q, k = (torch.cat(part)[:, prefix:] for part in zip(*looked, strict=True))
        return gazes(q, k, num_frames, heads)
