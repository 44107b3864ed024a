"""Queries, keys and values of one fused layer as layers of their own, for LoRA beside some of them.

CLIP's ``in_proj`` and the ``qkv`` of EVA, timm and MMPretrain are one linear map, whose thirds
are what the LoRA paper calls W_q, W_k and W_v.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from .ops.elementwise import linear

FUSED = ('in_proj', 'qkv')  # last parts of the names of such layers
PARTS = ('q', 'k', 'v')  # in the order of their rows


class Part(nn.Linear):
    """A third of a fused layer's rows as a linear map, which keeps no weights of its own.

    Args:
        fused: D -> 3·D; held in a tuple, so that it is not part of this one.
        index: which third.
    """

    def __init__(self, fused: nn.Linear, index: int) -> None:
        nn.Module.__init__(self)
        self.fused, self.index = (fused,), index
        self.in_features, self.out_features = fused.in_features, fused.out_features // len(PARTS)
        self.lent: list[nn.Parameter] = []  # see `lend_weight`; a list, so it is not registered

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(D, D), a view."""
        return self.lent[0] if self.lent else self.fused[0].weight[self.rows]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """(D,), a view; none where the fused layer has none."""
        return None if self.fused[0].bias is None else self.fused[0].bias[self.rows]

    @property
    def rows(self) -> slice:
        """Its rows in the fused layer."""
        return slice(self.index * self.out_features, (self.index + 1) * self.out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in x's type or autocast's."""
        return linear(x, self.weight, self.bias)

    @contextmanager
    def lend_weight(self) -> Iterator[None]:
        """A parameter for somebody to write to or replace the data of; kept afterwards."""
        self.lent.append(nn.Parameter(self.weight.detach().clone()))
        try:
            yield
        finally:
            with torch.no_grad():
                self.fused[0].weight[self.rows].copy_(self.lent.pop())


class ThreeParts(nn.Module):
    """A fused layer that is called as three.

    Args:
        fused: D -> 3·D.
    """

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        self.base_layer = fused  # peft's word for what is wrapped
        self.q, self.k, self.v = (Part(fused, i) for i in range(len(PARTS)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., 3·D)."""
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)


def is_fused(name: str, layer: nn.Module) -> bool:
    """Whether a linear map of this name gives queries, keys and values at once."""
    return name.rpartition('.')[2] in FUSED and layer.out_features % len(PARTS) == 0


def split(encoder: nn.Module, names: list[str]) -> None:
    """Replace each fused layer of which a part is among the names by `ThreeParts`."""
    for name in names:
        fused, _, part = name.rpartition('.')
        owner, _, last = fused.rpartition('.')
        if part in PARTS and last in FUSED:
            layer = encoder.get_submodule(fused)
            if not isinstance(layer, ThreeParts):
                setattr(encoder.get_submodule(owner), last, ThreeParts(layer))


@cache
def layer_of_a_part() -> type[nn.Module]:
    """LoRA as peft has it for a `Part`: what it merges reaches the fused layer."""
    from peft.tuners.lora import Linear

    class LoraPart(Linear):
        def merge(self, *args, **kwargs) -> None:
            with self.base_layer.lend_weight():
                super().merge(*args, **kwargs)

        def unmerge(self) -> None:
            with self.base_layer.lend_weight():
                super().unmerge()

    return LoraPart
