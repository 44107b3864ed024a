"""The side network along a trunk's layers, and the backbone of both (Figure 3)."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops.batch_norm import BatchNorm, normalise
from ...ops.clips import check_video
from ...ops.elementwise import keep_in_graph
from ...ops.linear import Projection
from ...parts import built_trunk
from ...recomputing import Recomputing, chosen_step
from ...trunks.base import Trunk
from ..beside import (
    check_portion,
    class_and_patches,
    idle_parameters,
    trunk_layers,
)
from ..by_frame import ByFrame, Looked, keep_layers, kept_layers
from ..outputs import check_output, join_frames
from .block import SideBlock, recomputed
from .operators import Stem
from .options import (
    check_choices,
    check_sizes,
    initialise,
    select_layers,
)


@MODELS.register_module()
class SideNetwork(Recomputing, BaseModule):
    """The side network by itself, fed with a trunk's layers one at a time.

    Figure 3, Eq. 1 to 4, Tables 1 and 9. It reads its sizes from the trunk and does not keep
    it, so that several may stand beside one (`SharedTrunkViT`).

    Args:
        trunk: the built image encoder that it will stand beside.
        side_dims: width C: 320 (B/16), 512 (L/14), 576 (E/14), 192 and 320 in the light
            models; a multiple of ``head_dims``.
        layers: the trunk layers that are read, one side block each (Table 9a, 9e):
            ``'all'``; ``'interval'``, the 2nd, 4th, ...; ``'interval_<n>'``, n layers at
            equal distances up to the last; ``'top_<n>'``, the last n; or a list of
            indices from 0.
        temporal: ``'conv'``, ``'attention'`` or ``'none'`` (Table 9b).
        cls_shift: let patches also look at the neighbouring frames' class tokens (9c).
        fusion: ``'mean'`` of side and trunk tokens, as released, or their ``'sum'`` (Eq. 2).
        norm: ``'pre'`` (released with CLIP trunks) or ``'post'`` (with EVA trunks).
        representation: ``'avg_pool'`` over the patches, ``'trunk_cls'``, a token that takes
            up the trunk's class tokens, or ``'side_cls'``, a learned one, which sees them
            in attention alone (Table 9d).
        output: ``'clip'``, (B, C), or ``'frames'`` for retrieval, one joint image-text
            vector a frame, (B, T, E), Eq. 4.
        cls_position: give the class token a row of the position table, as the released
            retrieval models with CLIP trunks have.
        final_norm: batch norm after the last side block; None for what is released: yes,
            except for recognition with norm='post'.
        head_dims: channels of an attention head.
        recompute: what the backward pass computes again instead of finding it in memory:
            ``'nothing'``, ``'elementwise'`` (the default: norms, GELU, convolutions over time),
            ``'mlp'`` (the side blocks' MLPs as well), ``'attention'`` (that as well),
            ``'block'`` (whole side blocks, under half the memory). Where the trunk is trained,
            the same of its blocks. No result depends on it.
        with_cp: True is another word for ``recompute='block'``.

    Raises:
        ValueError: for an unknown choice, layers the trunk does not have, or a width that
            the head width does not divide.
    """

    who = 'Side4VideoViT'  # in errors
    block_type = SideBlock

    def __init__(
        self,
        trunk: Trunk,
        side_dims: int = 320,
        layers: str | Sequence[int] = 'all',
        temporal: str = 'conv',
        cls_shift: bool = True,
        fusion: str = 'mean',
        norm: str = 'pre',
        representation: str = 'avg_pool',
        output: str = 'clip',
        cls_position: bool = False,
        final_norm: bool | None = None,
        head_dims: int = 64,
        recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:
        super().__init__()
        self.output = check_output(output, trunk, self.who)
        self.out_channels = trunk.joint_dims if output == 'frames' else side_dims
        check_choices(temporal, fusion, norm, representation)
        check_sizes(trunk, side_dims, head_dims, cls_shift, representation, self.who)
        self.reads = select_layers(layers, len(trunk.blocks), self.who)
        self.last = len(trunk.blocks) - 1 if output == 'frames' else self.reads[-1]
        self.representation = representation
        self.stem = Stem(trunk.patch_size, side_dims)
        num_patches = trunk.grid[0] * trunk.grid[1]
        self.position_embedding = nn.Parameter(torch.empty(num_patches + cls_position, side_dims))
        options: dict[str, Any] = dict(
            head_dims=head_dims,
            temporal=temporal,
            cls_shift=cls_shift,
            fusion=fusion,
            norm=norm,
            representation=representation,
        )
        self.blocks = nn.ModuleList(
            self.block_type(trunk.embed_dims, side_dims, **options) for _ in self.reads
        )
        if representation == 'side_cls':
            self.class_token = nn.Parameter(0.02 * torch.randn(side_dims))
        if final_norm is None:
            final_norm = norm == 'pre' or output == 'frames'
        self.norm = BatchNorm(side_dims) if final_norm else None
        if output == 'frames':
            self.up = nn.Parameter(torch.zeros(side_dims, trunk.embed_dims))
            self.to_trunk = Projection(self, 'up')
        initialise(self, norm, output)
        self.recompute = chosen_step(recompute, with_cp, self.who)

    @property
    def used(self) -> list[int]:
        """The trunk layers that are used: those read, and for (B, T, E) the last."""
        return sorted({*self.reads, *([self.last] if self.output == 'frames' else [])})

    def start(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, L, C), the side tokens before the first layer.

        L = N, and one more in front where a class token is carried along: the side
        network's own (``'side_cls'``), or one that starts at zero and takes up the trunk's
        as the patches do (``'trunk_cls'``).
        """
        check_video(video, self.who)
        s = self.stem(video)
        if self.representation == 'avg_pool':
            return s
        own = self.class_token if self.representation == 'side_cls' else s.new_zeros(s.shape[-1])
        return torch.cat([own.to(s.dtype).expand(s.shape[0], 1, -1), s], dim=1)

    def read(
        self, s: Tensor, layer: int, tokens: Sequence[Tensor], trunk: Trunk, num_frames: int
    ) -> Tensor:
        """Side tokens after a trunk layer; unchanged if it is not read.

        Args:
            s: (B·T, L, C).
            layer: index of the trunk layer.
            tokens: its output in chunks (M, prefix + N, D).
            trunk: the image encoder, for the number of tokens before the patches.
            num_frames: T.

        Returns:
            (B·T, L, C).
        """
        if layer not in self.reads:
            return s
        block = self.blocks[self.reads.index(layer)]
        tokens = class_and_patches(tokens, trunk)
        if not self.computes_again('block'):
            return block(s, tokens, self.position_embedding, num_frames)
        return recomputed(block, s, tokens, self.position_embedding, num_frames)

    def finish(self, s: Tensor, tokens: Sequence[Tensor], trunk: Trunk, num_frames: int) -> Tensor:
        """The feature, from the side tokens and the last layer's trunk tokens.

        Args:
            s: (B·T, L, C).
            tokens: chunks (M, prefix + N, D).
            trunk: the image encoder, for its final norm and projection.
            num_frames: T.

        Returns:
            (B, C), the mean over time (Eq. 3), or (B, T, E) (Eq. 4).
        """
        x = self.pool(s)
        if self.output == 'clip':
            return rearrange(x, '(b t) c -> b t c', t=num_frames).mean(dim=1)
        cls = torch.cat([trunk.readout(chunk) for chunk in tokens])
        return join_frames(trunk, cls + self.to_trunk(x), num_frames, self.output)

    def pool(self, s: Tensor) -> Tensor:
        """(B·T, L, C) -> (B·T, C): the final norm, and the patches' mean or the class token."""
        s = s if self.norm is None else normalise(self.norm, s)
        return s.mean(dim=1) if self.representation == 'avg_pool' else s[:, 0]


@MODELS.register_module()
class Side4VideoViT(ByFrame, Recomputing, BaseModule):
    """Frozen trunk with a side network that reads its layers; nothing flows back into it.

    The trunk runs without gradients while nothing up to its last layer is tuned, and hands
    each layer's tokens on at once: what is kept of the trunk for the backward pass is the
    input of each layer's down projection alone.

    Args:
        trunk: the pretrained image encoder or its config.
        frames_per_pass: frames the trunk takes at a time, which bounds the memory of its
            inner activations; None for all at once.
        side_dims, layers, temporal, cls_shift, fusion, norm, representation: see `SideNetwork`.
        output, cls_position, final_norm, head_dims, recompute, with_cp: see `SideNetwork`.

    Raises:
        ValueError: for options that do not fit the trunk; see `SideNetwork`.
    """

    def __init__(
        self,
        trunk: dict | nn.Module,
        frames_per_pass: int | None = 64,
        side_dims: int = 320,
        layers: str | Sequence[int] = 'all',
        temporal: str = 'conv',
        cls_shift: bool = True,
        fusion: str = 'mean',
        norm: str = 'pre',
        representation: str = 'avg_pool',
        output: str = 'clip',
        cls_position: bool = False,
        final_norm: bool | None = None,
        head_dims: int = 64,
        recompute: str | None = None,
        with_cp: bool | None = None,
    ) -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'Side4VideoViT')
        self.frames_per_pass = check_portion(frames_per_pass)
        self.side = SideNetwork(
            self.trunk,
            side_dims=side_dims,
            layers=layers,
            temporal=temporal,
            cls_shift=cls_shift,
            fusion=fusion,
            norm=norm,
            representation=representation,
            output=output,
            cls_position=cls_position,
            final_norm=final_norm,
            head_dims=head_dims,
            recompute=recompute,
            with_cp=with_cp,
        )
        self.recompute = self.side.recompute

    @property
    def out_channels(self) -> int:
        """Width of the feature, which the head's ``in_channels`` must be."""
        return self.side.out_channels

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, C) or (B, T, E), see ``output``, for any T."""
        seen = self.trunk, video, self.side.last, self.frames_per_pass
        return self.along(video, trunk_layers(*seen, run=self.trunk_block))

    def look(self, images: Tensor) -> Looked:
        """The layers that are read. (M, 3, H, W) -> tensors (M, prefix + N, D)."""
        seen = self.trunk, images.unsqueeze(2), self.side.last, self.frames_per_pass
        return keep_layers(trunk_layers(*seen), self.side.used)

    def finish(self, video: Tensor, looked: Sequence[Looked]) -> Tensor:
        """The side network along them; see `ByFrame`."""
        return self.along(video, kept_layers(looked, self.side.used, self.side.last))

    def along(self, video: Tensor, layers: Iterable[list[Tensor]]) -> Tensor:
        """The side network along the trunk's layers, chunks of frames each."""
        num_frames, side, trunk = video.shape[2], self.side, self.trunk
        s = side.start(video)
        for i, tokens in enumerate(layers):
            s = side.read(s, i, tokens, trunk, num_frames)
        x = side.finish(s, tokens, trunk, num_frames)
        return keep_in_graph(x, idle_parameters(trunk, side.last)) if side.output == 'clip' else x
