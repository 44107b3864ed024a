"""What trunks share that hold another library's vision transformer as it is."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..ops.attention import Mix, attention_weights, heads_of_each, join_heads, split_heads
from ..ops.dtypes import autocasts
from .base import Trunk
from .block import Change, through

PREFIX = 'vit.'  # what our names have before the library's
Attend = Callable[..., Tensor]
PLAIN_ATTENTION = ('Attention', 'MultiheadAttention')  # timm's, MMPretrain's


class WrappedBlock:
    """A library's block behind the trunk's verbs; holds it, owns nothing.

    It is not a module, so that the block keeps its one name in the state dict.

    Args:
        block: the library's block.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def parameters(self):
        """The block's parameters."""
        return self.block.parameters()

    def __call__(self, x: Tensor, num_queries: int | None = None) -> Tensor:
        """(M, L, D) -> (M, Q, D), attention and MLP in turn; Q = num_queries or L."""
        return self.feed_forward(self.attend(x, num_queries))

    def attend(
        self,
        x: Tensor,
        num_queries: int | None = None,
        *,
        pre: Change | None = None,
        mix: Mix | None = None,
        bias: Tensor | None = None,
        post: Change | None = None,
    ) -> Tensor:
        """Give x + post(attention branch), ``pre`` inside the branch; see `Block`.

        The library's attention knows no queries apart from its tokens, so all are computed
        and the first Q handed on. With ``mix`` or ``bias`` its layers are called from here.
        """
        if mix is None and bias is None:
            attention: Attend = lambda y, **given: call(self.attn, y, **given)  # noqa: E731
        else:
            self.require_plain('to take mix or bias')
            attention = partial(seamed_attention, self.attn, num_queries, mix, bias)
        branch = self.attention_branch(x, pre, attention)[:, :num_queries]
        return x[:, :num_queries] + through(post, branch)

    @property
    def attn(self) -> nn.Module:
        """The library's attention."""
        return self.block.attn

    @property
    def mixes(self) -> bool:
        """Whether `attend` takes ``mix`` and ``bias``."""
        attn = getattr(self.block, 'attn', None)
        special = getattr(attn, 'gate', None) is not None or getattr(attn, 'v_shortcut', False)
        return type(attn).__name__ in PLAIN_ATTENTION and not special

    def require_plain(self, purpose: str) -> None:
        """Raise TypeError for an attention other than the libraries' plain one."""
        if not self.mixes:
            kind = type(getattr(self, 'attn', None)).__name__
            raise TypeError(
                f'{type(self).__name__}: {purpose}, the attention must be a plain one '
                f'({", ".join(PLAIN_ATTENTION)}), this block has {kind}. Take a trunk without '
                'rotary or relative positions.'
            )

    def attention_branch(self, x: Tensor, pre: Change | None, attention: Attend) -> Tensor:
        """(M, L, D) -> (M, L, D), what the block's attention adds to x.

        Args:
            x: tokens.
            pre: see `Block`.
            attention: what takes the place of the library's attention.
        """
        raise TypeError(f'{type(self).__name__} must provide `attention_branch`.')

    def attention_input(self, x: Tensor) -> Tensor:
        """What the library's attention is given. (M, L, D) -> same."""
        raise TypeError(f'{type(self).__name__} must provide `attention_input`.')

    def class_attention(self, x: Tensor) -> Tensor:
        """How much the class token looks at each token. (M, L, D) -> (M, heads, L).

        Raises:
            TypeError: for an attention other than the libraries' plain one.
        """
        self.require_plain('to draw its weights')
        q, k, _ = library_heads(self.attn, self.attention_input(x), num_queries=1)
        return attention_weights(q, k).squeeze(2)

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """The MLP and what goes beside it, added to x: (M, L, D) -> same; see `Block`."""
        raise TypeError(f'{type(self).__name__} must provide `feed_forward`.')


def library_heads(
    attn: nn.Module, x: Tensor, num_queries: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a library's plain attention, (M, heads, Q or L, d) each."""
    qkv = call(attn.qkv, x)
    q, k, v = heads_of_each(qkv, 3, attn.num_heads)
    same = nn.Identity()
    q = call(getattr(attn, 'q_norm', same), q[:, :, :num_queries])
    return q, call(getattr(attn, 'k_norm', same), k), v


def seamed_attention(
    attn: nn.Module,
    num_queries: int | None,
    mix: Mix | None,
    bias: Tensor | None,
    x: Tensor,
) -> Tensor:
    """A library's plain attention with the seams of `Block`, (M, L, D) -> (M, Q, D)."""
    q, k, v = library_heads(attn, x, num_queries)
    if mix is not None:
        q, k, v = (split_heads(t, attn.num_heads) for t in mix(*map(join_heads, (q, k, v))))
    drop = getattr(attn.attn_drop, 'p', attn.attn_drop) if attn.training else 0.0
    x = join_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=drop))
    for name in ('norm', 'proj', 'proj_drop', 'gamma1', 'out_drop'):  # timm's, then MMPretrain's
        x = call(getattr(attn, name, nn.Identity()), x)
    return x


class WrappedViT(Trunk):
    """A trunk whose parameters are those of a library's model, named ``vit.<their name>``.

    A subclass sets ``vit``, ``img_size`` and what `Trunk` asks for, fills ``wrapped``
    with one `WrappedBlock` a layer, and calls `freeze`.
    """

    vit: nn.Module
    img_size: tuple[int, int]
    wrapped: list[WrappedBlock]

    @property
    def blocks(self) -> list[WrappedBlock]:  # type: ignore[override]
        """The layers, in order."""
        return self.wrapped

    @property
    def has_class_token(self) -> bool:
        """Whether token 0 is a class token."""
        return self.vit.cls_token is not None

    def check_frames(self, frames: Tensor) -> None:
        """Raise unless weights are there and frames (M, 3, H, W) have the trunk's size."""
        self.require_weights()
        if tuple(frames.shape[-2:]) != self.img_size:
            raise ValueError(
                f'{type(self).__name__}: frames must be {self.img_size} pixels (height, width), '
                f'got {tuple(frames.shape[-2:])}. Crop to that size in the pipeline, or set '
                'img_size in the trunk.'
            )


def call(module: nn.Module, x: Tensor, **kwargs) -> Tensor:
    """``module(x)`` for a library's module, its weights stored in any floating type.

    Vectors (norms, biases, scales) are read as `beside` says. So are matrices, except under
    autocast, which chooses the types of products itself.
    """
    autocast = autocasts(x)
    stored = dict(module.named_parameters()) | dict(module.named_buffers())
    read = {n: beside(x, t) for n, t in stored.items() if t.dim() < 2 or not autocast}
    read = {name: tensor for name, tensor in read.items() if tensor is not stored[name]}
    return functional_call(module, read, (x,), kwargs) if read else module(x, **kwargs)


def beside(x: Tensor, stored: Tensor) -> Tensor:
    """A weight for arithmetic with x: in x's type, under autocast at least in float32."""
    if not stored.is_floating_point():
        return stored
    if autocasts(x):
        return stored.float() if stored.itemsize == 2 else stored
    return stored.to(x.dtype)
