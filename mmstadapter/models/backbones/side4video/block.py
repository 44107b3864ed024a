"""A side block: fuse a trunk layer's tokens, then time, space and MLP (Figure 3b)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...ops.batch_norm import BatchNorm, contexts_of_recomputation, normalise
from ...ops.elementwise import LayerNorm
from ...recomputing import Recomputing
from .operators import (
    MLP,
    AttentionOverTime,
    Down,
    SpatialAttention,
    TemporalConv,
    shifted_class_tokens,
    with_positions,
)

Branch = Callable[[Tensor], Tensor]


class SideBlock(Recomputing):
    """Fuse a trunk layer's tokens, then time, space and MLP, each on the residual.

    Figure 3b and section 3.3. With norm='pre' (CLIP trunks) batch norm comes before the
    temporal module and the MLP, layer norm before attention; with norm='post' (EVA trunks)
    the same norms come after. The arguments are those of `SideNetwork`.
    """

    def __init__(
        self,
        embed_dims: int,
        side_dims: int,
        *,
        head_dims: int = 64,
        temporal: str = 'conv',
        cls_shift: bool = True,
        fusion: str = 'mean',
        norm: str = 'pre',
        representation: str = 'avg_pool',
    ) -> None:
        super().__init__()
        self.cls_shift, self.fusion, self.post = cls_shift, fusion, norm == 'post'
        self.temporal, self.own_cls = temporal, representation == 'side_cls'
        self.down = Down(embed_dims, side_dims, norm)
        if temporal != 'none':
            self.bn_1 = BatchNorm(side_dims)
        if temporal == 'conv':
            self.conv = TemporalConv(side_dims)
        elif temporal == 'attention':
            self.time_attn = AttentionOverTime(side_dims, head_dims)
        self.ln_1 = LayerNorm(side_dims)
        self.attn = SpatialAttention(side_dims, head_dims)
        self.bn_2 = BatchNorm(side_dims)
        self.mlp = MLP(side_dims)

    def forward(
        self, s: Tensor, tokens: Sequence[Tensor], positions: Tensor, num_frames: int
    ) -> Tensor:
        """One side layer.

        Args:
            s: side tokens (B·T, L, C); L = N, or 1 + N with a class token of its own.
            tokens: a trunk layer's output, class token first, in chunks of frames
                (M, 1 + N, D) whose M add up to B·T.
            positions: table (N, C) or (1 + N, C).
            num_frames: T.

        Returns:
            (B·T, L, C).
        """
        s, *cls = self.before_attention(s, tokens, num_frames)
        s = s + self.again('attention', self.attend, s, positions, *cls)
        mlp = partial(self.around, self.bn_2, self.mlp)
        return s + self.again('mlp', mlp, s, of=self.as_now)

    def before_attention(
        self, s: Tensor, tokens: Sequence[Tensor], num_frames: int
    ) -> tuple[Tensor, ...]:
        """Fusion and the temporal branch; arguments as of `forward`.

        Returns:
            The stream (B·T, L, C), and if wanted the shifted class token (B·T, 1, C).
        """
        z = self.project(tokens)
        s = self.fuse(s, z)
        if self.temporal != 'none':
            branch = partial(self.over_time, num_frames=num_frames)
            run = partial(self.around, self.bn_1, branch)
            s = s + self.again(self.temporal, run, s, of=self.as_now)  # if it is attention
        return (s, shifted_class_tokens(z, num_frames)) if self.cls_shift else (s,)

    def attend(self, s: Tensor, positions: Tensor, *cls: Tensor) -> Tensor:
        """The attention branch, (B·T, L, C) -> same; arguments see `with_positions`."""
        x = with_positions(s, positions, *cls)
        return self.around(self.ln_1, lambda x: self.attn(x, s.shape[1]), x)

    def as_now(self) -> tuple:
        """Contexts of two computations; the second has the batch norms of the first."""
        return contexts_of_recomputation(self)

    def around(self, norm: nn.Module, branch: Branch, x: Tensor) -> Tensor:
        """branch(norm(x)) with norm='pre', norm(branch(x)) with norm='post'."""
        return normalise(norm, branch(x)) if self.post else branch(normalise(norm, x))

    def project(self, tokens: Sequence[Tensor]) -> Tensor:
        """Eq. 1. Chunks (M, 1 + N, D) -> (B·T, 1 + N, C)."""
        parts = [self.down(chunk) for chunk in tokens]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def fuse(self, s: Tensor, z: Tensor) -> Tensor:
        """Eq. 2's sum, or as released the mean, of s (M, L, C) and the last L of z.

        A class token of the side network's own takes up nothing.
        """
        z = z[:, z.shape[1] - s.shape[1] :]
        both = 0.5 * (s + z) if self.fusion == 'mean' else s + z
        return torch.cat([s[:, :1], both[:, 1:]], dim=1) if self.own_cls else both

    def over_time(self, s: Tensor, num_frames: int) -> Tensor:
        """The temporal module. (B·T, L, C) -> same."""
        module = self.conv if self.temporal == 'conv' else self.time_attn
        return module(s, num_frames)

    def attention(
        self, s: Tensor, tokens: Sequence[Tensor], positions: Tensor, num_frames: int
    ) -> Tensor:
        """How much each of the L side tokens looks at each of K. -> (B·T, heads, L, K).

        Arguments as of `forward`; K is L, and one more with a shifted class token.
        """
        s, *cls = self.before_attention(s, tokens, num_frames)
        x = with_positions(s, positions, *cls)
        return self.attn.weights(x if self.post else self.ln_1(x), s.shape[1])


def recomputed(
    block: SideBlock, s: Tensor, tokens: Sequence[Tensor], positions: Tensor, num_frames: int
) -> Tensor:
    """What a block gives, computed again in the backward pass; arguments as the block's.

    Again means as it was: a change of mode or running statistics in between has no effect.
    Compiled code is such by itself, and its running statistics are updated once.
    """
    run = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    if not torch.compiler.is_compiling():
        run = partial(run, context_fn=partial(contexts_of_recomputation, block))
    tokens = [block.down.as_read(chunk) for chunk in tokens]
    return run(
        lambda s, positions, *tokens: block(s, tokens, positions, num_frames), s, positions, *tokens
    )
