"""AIM: a frozen image model whose own attention also looks along time, with bottleneck adapters.

Yang et al., "AIM: Adapting Image Models for Efficient Video Action Recognition", ICLR 2023.
"""

from collections.abc import Iterator
from functools import partial

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.bottleneck import Bottleneck
from ..ops.drop_path import DropPath
from ..ops.positions import embed_in_time
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from .outputs import mean_of_frames


@MODELS.register_module()
class AIMViT(Recomputing, BaseModule):
    """Each block attends over time, then over space, with the same weights; then its MLP.

        x = x + A_T(attention over time(A_in(norm1 x)))         A_in only with ``time_in``
        x = x + A_S(attention over space(norm1 x))
        x = x + MLP(norm2 x) + scale · A_M(norm2 x)
        A(u) = W_b GELU(W_a u + a) + b, A_in and A_S add u

    Starts as the image model on single frames. The released models train the trunk's last
    norm as well: ``trunk.tune='after_blocks'``.

    Args:
        trunk: the pretrained image encoder or its config.
        num_frames: rows of the table of time positions; other clip lengths take the
            nearest rows.
        ratio: bottleneck width of the adapters over D; a constant in the released code.
        scale: of the adapter beside the MLP; 0.5, on Something-Something 1.
        time_in: whether there is an adapter before the attention over time as well
            (Something-Something, ``num_tadapter=2`` in the released code).
        drop_path_rate: how often the branch over time and the adapter beside the MLP are
            dropped in the last block, from 0 in the first on; 0.2 in the released recipes.
        drop_path_over: what is dropped, see `DropPath`: ``'place'`` in the released CLIP
            model, ``'frame'`` in its ImageNet model.
        recompute, with_cp: what the backward pass computes again, see `STAdapterViT`.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        num_frames: int = 8,
        ratio: float = 0.25,
        scale: float = 0.5,
        time_in: bool = False,
        drop_path_rate: float = 0.0,
        drop_path_over: str = 'place',
        recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'AIMViT')
        dims, depth = self.trunk.embed_dims, len(self.trunk.blocks)
        self.time_embed = nn.Parameter(torch.zeros(num_frames, dims))
        rates = [drop_path_rate * i / max(depth - 1, 1) for i in range(depth)]
        self.drop_path = nn.ModuleList(DropPath(rate, drop_path_over) for rate in rates)

        def adapters(number: int, **options) -> nn.ModuleList:
            made = (Bottleneck(dims, int(ratio * dims), 'gelu', **options) for _ in range(number))
            return nn.ModuleList(made)

        self.time_in = adapters(depth if time_in else 0)
        self.time_out = adapters(depth, skip=False)
        self.space_out = adapters(depth)
        self.beside_mlp = adapters(depth, skip=False, scale=scale)
        self.recompute = chosen_step(recompute, with_cp, 'AIMViT')

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
        """Block i, its last two steps for the first tokens alone. (B·T, L, D) -> (B·T, Q, D)."""
        x = self.again('attention', self.attend_over_time, x, i=i, num_frames=num_frames)
        options = dict(num_queries=num_queries, post=self.space_out[i])
        x = self.again('attention', self.trunk.blocks[i].attend, x, **options)
        return self.again('mlp', self.feed_forward, x, i=i, num_frames=num_frames)

    def attend_over_time(self, x: Tensor, i: int, num_frames: int) -> Tensor:
        """Each place, the class token's too, looks along time. (B·T, L, D) -> same."""
        places = x.shape[1]
        x = rearrange(x, '(b t) n d -> (b n) t d', t=num_frames)
        drop = partial(self.drop_path[i], layout='(b n) t', n=places)
        pre = self.time_in[i] if self.time_in else None
        x = self.trunk.blocks[i].attend(x, pre=pre, post=lambda u: drop(self.time_out[i](u)))
        return rearrange(x, '(b n) t d -> (b t) n d', n=places)

    def feed_forward(self, x: Tensor, i: int, num_frames: int) -> Tensor:
        """The MLP and an adapter beside it. (B·T, L, D) -> same."""
        drop = partial(self.drop_path[i], layout='(b t) n', t=num_frames)
        beside = lambda n: drop(self.beside_mlp[i](n))  # noqa: E731
        return self.trunk.blocks[i].feed_forward(x, beside=beside)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """``embed``, per block i ``<i>.time``, ``<i>.space``, ``<i>``, then ``feature``."""
        x = embed_in_time(self.trunk, video, self.time_embed)
        yield 'embed', x
        for i, block in enumerate(self.trunk.blocks):
            x = self.attend_over_time(x, i, video.shape[2])
            yield f'{i}.time', x
            x = block.attend(x, post=self.space_out[i])
            yield f'{i}.space', x
            x = self.feed_forward(x, i, video.shape[2])
            yield str(i), x
        yield 'feature', mean_of_frames(self.trunk, x, video.shape[2])
