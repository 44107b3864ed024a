"""ST-Adapter: small spatio-temporal adapters inside a frozen image transformer.

Pan et al., "ST-Adapter: Parameter-Efficient Image-to-Video Transfer Learning for
Action Recognition", NeurIPS 2022.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.clips import images_of
from ..ops.depthwise import DepthwiseConv
from ..ops.elementwise import QuickGELU, keep_in_graph
from ..ops.linear import Linear, all_plain
from ..ops.recompute import remakeable
from ..parts import built_trunk
from ..recomputing import Recomputing, chosen_step
from .by_frame import ByFrame, Looked, joined
from .outputs import check_output, join_frames, out_width

See = Callable[[str, Tensor], None]
POSITIONS = ('before_attn', 'after_attn', 'after_mlp')
ACTIVATIONS: dict[str, type[nn.Module]] = dict(
    none=nn.Identity, relu=nn.ReLU, gelu=nn.GELU, quick_gelu=QuickGELU
)


class STAdapter(nn.Module):
    """Bottleneck with a depth-wise 3-D convolution over a clip's patch tokens.

    ST-Adapter (Pan et al., NeurIPS 2022), Eq. 2. The class token passes through
    unchanged. Starts as the identity: the convolution and all biases are zero, so
    training begins from the image model. The released code has biases and no
    activation, which is the default here; Eq. 2 has one after the convolution.

    Args:
        embed_dims: trunk width D.
        bottleneck_dims: width d inside the adapter; 384 in the released ViT-B/16.
        kernel_size: (time, height, width), odd so that T, h and w are kept;
            (3, 1, 1) in the released models.
        activation: ``'none'`` (released), ``'relu'``, ``'gelu'`` or ``'quick_gelu'``.

    Raises:
        ValueError: if a kernel size is even or the activation is unknown.
    """

    def __init__(
        self,
        embed_dims: int,
        bottleneck_dims: int = 384,
        kernel_size: Sequence[int] = (3, 1, 1),
        activation: str = 'none',
    ) -> None:
        super().__init__()
        kernel_size = tuple(kernel_size)
        if len(kernel_size) != 3 or any(k < 1 or k % 2 == 0 for k in kernel_size):
            raise ValueError(
                'STAdapter: kernel_size must be three odd numbers (time, height, width) so that '
                f'T, h, w are kept, got {kernel_size}. The released models have (3, 1, 1).'
            )
        if bottleneck_dims < 1:
            raise ValueError(f'STAdapter: bottleneck_dims must be positive, got {bottleneck_dims}.')
        if activation not in ACTIVATIONS:
            raise ValueError(
                f'STAdapter: activation must be one of {", ".join(ACTIVATIONS)}, '
                f'got {activation!r}.'
            )
        self.fc1 = Linear(embed_dims, bottleneck_dims)
        self.conv = DepthwiseConv(bottleneck_dims, kernel_size)
        self.activation = ACTIVATIONS[activation]()
        self.fc2 = Linear(bottleneck_dims, embed_dims)
        for tensor in (self.conv.weight, self.conv.bias, self.fc1.bias, self.fc2.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: Tensor, num_frames: int, grid: tuple[int, int], prefix: int = 1) -> Tensor:
        """Adapt the patch tokens of whole clips.

        Args:
            x: tokens (B·T, prefix+N, D), clip-major.
            num_frames: T.
            grid: patches (h, w) with h·w = N.
            prefix: tokens before the patches (class token), left as they are.

        Returns:
            (B·T, prefix+N, D).
        """
        if torch.is_grad_enabled():  # a map of x[:, prefix:] would keep a copy of it
            u = self.fc1(x)[:, prefix:]
        else:
            u = self.fc1(x[:, prefix:])
        u = rearrange(u, '(b t) (h w) d -> b d t h w', t=num_frames, h=grid[0])
        u = remakeable(_tokens, self.activation(self.conv(u)))
        return x + F.pad(self.fc2(u), (0, 0, prefix, 0))


def _tokens(u: Tensor) -> Tensor:
    """(B, d, T, h, w) -> (B·T, h·w, d)."""
    return rearrange(u, 'b d t h w -> (b t) (h w) d')


ADAPTER_TYPES = (STAdapter, Linear, DepthwiseConv, *ACTIVATIONS.values())


@MODELS.register_module()
class STAdapterViT(ByFrame, Recomputing, BaseModule):
    """Frozen trunk with ST-Adapters between its layers; class tokens averaged over time.

    Section 3.3 and Table 4 of the paper. The released K400 model has one adapter
    a block after attention ("12x384"), the released SSv2 model one before and one
    after ("24x384").

    Args:
        trunk: the pretrained image encoder or its config.
        bottleneck_dims, kernel_size, activation: see `STAdapter`.
        positions: any of ``'before_attn'``, ``'after_attn'`` (= before the MLP) and
            ``'after_mlp'`` (Table 4c).
        blocks: which blocks have adapters: ``'all'``, ``'first_<n>'``,
            ``'last_<n>'`` or a list of indices from 0 (Table 4b).
        recompute: what of a block the backward pass computes again instead of finding it in
            memory: ``'nothing'``, ``'elementwise'`` (the default: norms, activations and
            adapters' convolutions, where a trained map reads them), ``'mlp'`` (the MLP as
            well), ``'attention'`` (that as well), ``'block'`` (all, a third more time for a
            quarter of the memory). No result depends on it.
        with_cp: True is another word for ``recompute='block'``.
        output: ``'clip'``, (B, D), or ``'frames'`` for retrieval, one joint image-text
            vector a frame, (B, T, E).

    Raises:
        ValueError: for unknown positions or blocks.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        bottleneck_dims: int = 384,
        kernel_size: Sequence[int] = (3, 1, 1),
        positions: Sequence[str] = ('after_attn',),
        blocks: str | Sequence[int] = 'all',
        activation: str = 'none',
        recompute: str | None = None,
        with_cp: bool | None = None,
        output: str = 'clip',
    ) -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'STAdapterViT')
        self.output = check_output(output, self.trunk, 'STAdapterViT')
        indices = select_blocks(blocks, len(self.trunk.blocks))
        for position in check_positions(positions):
            adapters = {
                str(i): STAdapter(self.trunk.embed_dims, bottleneck_dims, kernel_size, activation)
                for i in indices
            }
            setattr(self, position, nn.ModuleDict(adapters))
        self.recompute = chosen_step(recompute, with_cp, 'STAdapterViT')

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return out_width(self.trunk, self.output)

    def forward(self, video: Tensor, see: See | None = None) -> Tensor:
        """(B, 3, T, H, W) -> (B, D) or (B, T, E), see ``output``, for any T.

        ``see(step, x)`` is told every step, with all tokens computed; see `trace`.
        """
        x = self.trunk.embed(images_of(video))
        tell('embed', x, see)
        x = self.run_blocks(x, range(len(self.trunk.blocks)), video.shape[2], see)
        return join_frames(self.trunk, self.trunk.readout(x), video.shape[2], self.output)

    def look(self, images: Tensor) -> Looked:
        """The tokens before the first block with adapters. (M, 3, H, W) -> (M, prefix+N, D)."""
        return (self.run_blocks(self.trunk.embed(images), range(self.shared_blocks), 1),)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """That block and those behind it; see `ByFrame`."""
        rest = range(self.shared_blocks, len(self.trunk.blocks))
        x = self.run_blocks(joined(looked), rest, video.shape[2])
        return join_frames(self.trunk, self.trunk.readout(x), video.shape[2], self.output)

    @property
    def shared_blocks(self) -> int:
        """Those before the first one with adapters, where a frame does not see the others."""
        return min(int(i) for p in POSITIONS for i in getattr(self, p, {}))

    def run_blocks(
        self, x: Tensor, blocks: range, num_frames: int, see: See | None = None
    ) -> Tensor:
        """Some blocks with their adapters. (B·T, prefix+N, D) -> (B·T, Q, D)."""
        run = self.run_block if see else partial(self.again, 'block', self.run_block)
        for i in blocks:
            queries = None if see else self.num_queries(i)
            x = run(x, i=i, num_frames=num_frames, num_queries=queries, see=see)
        return x

    def run_block(
        self,
        x: Tensor,
        i: int,
        num_frames: int,
        num_queries: int | None = None,
        see: See | None = None,
    ) -> Tensor:
        """Block i with its adapters. (B·T, prefix+N, D) -> (B·T, Q, D), Q = num_queries or all."""
        block = self.trunk.blocks[i]
        x = self.adapt(x, 'before_attn', i, num_frames, see)
        x = self.again('attention', block.attend, x, num_queries=num_queries)
        x = self.adapt(x, 'after_attn', i, num_frames, see)
        x = self.again('mlp', block.feed_forward, x)
        x = self.adapt(x, 'after_mlp', i, num_frames, see)
        tell(str(i), x, see)
        return x

    def adapt(
        self, x: Tensor, position: str, i: int, num_frames: int, see: See | None = None
    ) -> Tensor:
        """The adapter of block i at a position, or x itself where there is none.

        Behind the last block's one query no patch is left to adapt: the adapters there, which
        the released models have, are not computed.
        """
        adapter, prefix = self.adapter(position, i), self.trunk.num_prefix_tokens
        if adapter is None:
            return x
        if x.shape[1] <= prefix:
            return keep_in_graph(x, list(adapter.parameters()))
        x = adapter(x, num_frames, self.trunk.grid, prefix)
        tell(f'{i}.{position}', x, see)
        return x

    def adapter(self, position: str, i: int) -> STAdapter | None:
        """The adapter of block i at a position, if there is one."""
        adapters = getattr(self, position, {})
        return adapters[str(i)] if str(i) in adapters else None

    def num_queries(self, i: int) -> int | None:
        """How many tokens block i computes: those that are read, `Trunk.num_queries`.

        All of them where a tool has put something of its own into an adapter behind them.
        """
        queries = self.trunk.num_queries(i)
        behind = [] if queries is None else [self.adapter(p, i) for p in POSITIONS[1:]]
        untouched = (adapter is None or all_plain(adapter, *ADAPTER_TYPES) for adapter in behind)
        return queries if all(untouched) else None

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every step with all tokens computed, for parity checks and drawings.

        Yields:
            ``('embed', x)``, then per block i ``('<i>.before_attn', x)`` ...
            ``('<i>', x)`` with x of shape (B·T, 1+N, D), then ``('pooled', x)``, the
            mean class token before the final norm, and ``('feature', x)``, the output.
        """
        steps: list[tuple[str, Tensor]] = []
        feature = self(video, lambda *step: steps.append(step))
        yield from steps
        images = self.trunk.readout(steps[-1][1])
        yield 'pooled', rearrange(images, '(b t) d -> b t d', t=video.shape[2]).mean(dim=1)
        yield 'feature', feature


def tell(step: str, x: Tensor, see: See | None) -> None:
    """Show a step to whoever wants to see it."""
    if see is not None:
        see(step, x)


def check_positions(positions: Sequence[str]) -> tuple[str, ...]:
    """The positions in layer order, or an error that lists the choices."""
    if isinstance(positions, str):
        positions = (positions,)
    if not positions or any(p not in POSITIONS for p in positions):
        raise ValueError(
            f'STAdapterViT: positions must be a non-empty choice of {", ".join(POSITIONS)}, '
            f'got {tuple(positions)}.'
        )
    return tuple(p for p in POSITIONS if p in positions)


def select_blocks(
    blocks: str | Sequence[int], num_blocks: int, who: str = 'STAdapterViT'
) -> list[int]:
    """Indices of the chosen blocks: 'all', 'first_<n>', 'last_<n>' or a list.

    Raises:
        ValueError: if the choice is empty, unknown or outside the trunk.
    """
    if isinstance(blocks, str):
        kind, _, number = blocks.partition('_')
        count = int(number) if number.isdigit() else -1
        if blocks == 'all':
            return list(range(num_blocks))
        if kind in ('first', 'last') and 1 <= count <= num_blocks:
            start = 0 if kind == 'first' else num_blocks - count
            return list(range(start, start + count))
    elif isinstance(blocks, Sequence) and blocks:
        indices = sorted({i for i in blocks if isinstance(i, int) and 0 <= i < num_blocks})
        if len(indices) == len(blocks):
            return indices
    raise ValueError(
        f"{who}: blocks must be 'all', 'first_<n>', 'last_<n>' or a non-empty list of "
        f'different indices from 0 to {num_blocks - 1}, got {blocks!r}.'
    )
