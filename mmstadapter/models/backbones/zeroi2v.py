"""ZeroI2V: heads that look at other frames, and linear adapters that merge into the image model.

Li et al., "ZeroI2V: Zero-Cost Adaptation of Pre-trained Transformers from Image to Video",
ECCV 2024.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.bottleneck import Bottleneck
from ..ops.positions import embed_in_time
from ..ops.time_shift import TimeShift
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from ..trunks.block import require_mix
from .outputs import mean_of_frames

ADAPTERS = ('attn_in', 'attn_qkv', 'attn_out', 'mlp_in', 'mlp_out')


class AdaptersApart(nn.ModuleDict):
    """An adapter each for queries, keys and values."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__({name: make() for name in 'qkv'})

    def forward(self, u: Tensor) -> Tensor:
        """(M, L, D) -> (3·M, L, D), of which `ZeroI2VViT.mix` takes what is whose."""
        return torch.cat([adapter(u) for adapter in self.values()])


@MODELS.register_module()
class ZeroI2VViT(Recomputing, BaseModule):
    """A block's keys and values look at other frames; linear adapters around its matrices.

        q, k, v = W_qkv A_1(norm1 x);  k, v = shift(k), shift(v)
        x = x + A_2(W_o softmax(q k^T / sqrt(d)) v)
        x = x + A_4(MLP(A_3(norm2 x)))

    The shift acts from the first step. The released models train the trunk's last norm as
    well: ``trunk.tune='after_blocks'``. `mmstadapter merge` takes trained adapters into the trunk,
    which leaves ``adapters=()``.

    Args:
        trunk: the pretrained image encoder or its config; its blocks must offer ``mix``.
        num_frames: rows of the table of time positions; other lengths take the nearest.
        ratio: bottleneck width of the adapters over D.
        shifts: pairs (offset, div), see `TimeShift`; for ViT-B a twelfth of the channels from
            the frame before and a twelfth from the next.
        shift_over: ``'channels'``, or one of the released ablations, see `TimeShift`.
        adapters: any of ``'attn_in'`` (A_1), ``'attn_out'`` (A_2), ``'mlp_in'`` (A_3),
            ``'mlp_out'`` (A_4), and ``'attn_qkv'``, an A_1 each for q, k and v.
        scale: of the adapters, A(u) = u + scale · (W_b dropout(W_a u + a) + b); 1 on
            Something-Something.
        dropout: rate inside the adapters.
        activation: before the dropout: ``'none'``, or ``'gelu'``, which cannot be merged.
        recompute, with_cp: what the backward pass computes again, see `STAdapterViT`.

    Raises:
        ValueError: for unknown adapters, or if the trunk cannot mix.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        num_frames: int = 8,
        ratio: float = 0.25,
        shifts: Sequence[tuple[int, float]] = ((-1, 12), (1, 12)),
        shift_over: str = 'channels',
        adapters: Sequence[str] = ('attn_in', 'attn_out', 'mlp_in', 'mlp_out'),
        scale: float = 0.5,
        dropout: float = 0.1,
        activation: str = 'none',
        recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:
        super().__init__()
        if set(adapters) - set(ADAPTERS) or {'attn_in', 'attn_qkv'} <= set(adapters):
            raise ValueError(
                f'ZeroI2VViT: adapters must be of {", ".join(ADAPTERS)}, of the first two one at '
                f'most, got {tuple(adapters)}.'
            )
        self.trunk = built_trunk(trunk, 'ZeroI2VViT')
        require_mix(self.trunk, 'ZeroI2VViT')
        dims, blocks = self.trunk.embed_dims, self.trunk.blocks
        self.shift = TimeShift(shifts, dims, blocks[0].attn.num_heads, shift_over)
        self.time_embed = nn.Parameter(torch.zeros(num_frames, dims))
        make = partial(Bottleneck, dims, int(ratio * dims), activation, dropout, scale)
        for name in (name for name in ADAPTERS if name in adapters):
            new = partial(AdaptersApart, make) if name == 'attn_qkv' else make
            setattr(self, name, nn.ModuleList(new() for _ in blocks))
        self.recompute = chosen_step(recompute, with_cp, 'ZeroI2VViT')

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.trunk.embed_dims

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        x = embed_in_time(self.trunk, video, self.time_embed)
        for i in range(len(self.trunk.blocks)):
            queries = self.trunk.num_queries(i)
            options = dict(i=i, num_frames=video.shape[2], num_queries=queries)
            x = self.again('block', self.run_block, x, **options)
        return mean_of_frames(self.trunk, x, video.shape[2])

    def run_block(
        self, x: Tensor, i: int, num_frames: int, num_queries: int | None = None
    ) -> Tensor:
        """Block i for the first tokens. (B·T, L, D) -> (B·T, Q, D)."""
        block = self.trunk.blocks[i]
        pre, mix = self.adapter('attn_in', i), partial(self.mix, num_frames=num_frames)
        pre, post = pre or self.adapter('attn_qkv', i), self.adapter('attn_out', i)
        options = dict(num_queries=num_queries, pre=pre, mix=mix, post=post)
        x = self.again('attention', block.attend, x, **options)
        pre, post = self.adapter('mlp_in', i), self.adapter('mlp_out', i)
        return self.again('mlp', block.feed_forward, x, pre=pre, post=post)

    def adapter(self, name: str, i: int) -> nn.Module | None:
        """An adapter of block i, if there is one."""
        return getattr(self, name)[i] if hasattr(self, name) else None

    def mix(self, q: Tensor, k: Tensor, v: Tensor, num_frames: int) -> tuple[Tensor, ...]:
        """Queries as they are, keys and values that look at other frames."""
        if hasattr(self, 'attn_qkv'):
            q, k, v = (x.unflatten(0, (3, -1))[i] for i, x in enumerate((q, k, v)))
        return q, self.shift(k, num_frames), self.shift(v, num_frames)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """All tokens of every step: ``embed``, ``<i>`` per block i, ``feature``."""
        x = embed_in_time(self.trunk, video, self.time_embed)
        yield 'embed', x
        for i in range(len(self.trunk.blocks)):
            x = self.run_block(x, i, video.shape[2])
            yield str(i), x
        yield 'feature', mean_of_frames(self.trunk, x, video.shape[2])
