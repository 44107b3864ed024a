"""The bottleneck adapter of AIM and ZeroI2V."""

from torch import Tensor, nn

from .linear import Linear, gelu_linear

ACTIVATIONS = ('none', 'gelu')


class Bottleneck(nn.Module):
    """A(u) = scale · (W_b dropout(f(W_a u + a)) + b), plus u with a skip.

    W_b and b start at zero, so that with a skip it starts as the identity, without as zero.

    Args:
        embed_dims: width D.
        bottleneck_dims: width d inside.
        activation: f, ``'none'`` or ``'gelu'`` (exact).
        dropout: rate inside the bottleneck.
        scale: factor of the adapter.
        skip: whether u is added.

    Raises:
        ValueError: for another activation, or a width below 1.
    """

    def __init__(
        self,
        embed_dims: int,
        bottleneck_dims: int,
        activation: str = 'none',
        dropout: float = 0.0,
        scale: float = 1.0,
        skip: bool = True,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS or bottleneck_dims < 1:
            raise ValueError(
                f'Bottleneck: activation must be one of {", ".join(ACTIVATIONS)} and the width '
                f'at least 1, got {activation!r} and {bottleneck_dims} (ratio times {embed_dims}).'
            )
        self.activation, self.scale, self.skip = activation, scale, skip
        self.fc1 = Linear(embed_dims, bottleneck_dims)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = Linear(bottleneck_dims, embed_dims)
        nn.init.normal_(self.fc1.weight, std=0.02)  # released: cut at 2, a hundred deviations away
        for tensor in (self.fc1.bias, self.fc2.weight, self.fc2.bias):
            nn.init.zeros_(tensor)

    def forward(self, u: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        out = self.scale * self.inside(u)
        return u + out if self.skip else out

    def inside(self, u: Tensor) -> Tensor:
        """W_b dropout(f(W_a u + a)) + b."""
        y = self.fc1(u)
        if self.activation == 'none':
            return self.fc2(self.dropout(y))
        if self.dropout.p == 0:
            return gelu_linear(y, self.fc2)
        return self.fc2(self.dropout(nn.functional.gelu(y)))
