"""Linear maps as modules that are called, for weights stored in any floating type."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.compiler import is_compiling, is_exporting
from torch.nn.modules.module import _has_any_global_hook

from .dtypes import autocasts
from .elementwise import LayerNorm, QuickGELU, linear
from .frozen_mlp import frozen_mlp
from .norm_linear import norm_linear_of_frozen
from .recompute import linear_of, linear_of_gelu, recipe_of

# What a weight is unless it is quantised, sharded or the like; the last one when memory is planned.
ORDINARY = (nn.Parameter, Tensor, FakeTensor)
HOOKS = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')


def is_plain(layer: nn.Module, *types: type[nn.Module]) -> bool:
    """Whether a lean form may look through a layer instead of calling it.

    So it may where the layer is of one of the given types itself, nobody listens to its calls
    and its weights are plain tensors. Whatever a tool has replaced, wrapped, hooked,
    parametrised, quantised or sharded is called.

    Args:
        layer: the layer.
        types: our own types that the form knows; a subclass is another type.
    """
    if type(layer) not in types or 'forward' in layer.__dict__:
        return False
    if _has_any_global_hook() or any(getattr(layer, hooks) for hooks in HOOKS):
        return False
    weights = (getattr(layer, name, None) for name in ('weight', 'bias'))
    return all(w is None or type(w) in ORDINARY for w in weights)


def all_plain(module: nn.Module, *types: type[nn.Module]) -> bool:
    """Whether every part of a module that has weights or is called is one of our own, untouched.

    Args:
        module: the module, itself among its parts.
        types: what its parts may be; a subclass is another type.
    """
    return all(is_plain(part, *types) for part in module.modules())


class Linear(nn.Linear):
    """``nn.Linear`` whose weights may be stored in another type than the input has.

    Given a tensor that can be made again (`remakeable`), it keeps what that is made from, unless
    ``makes_input_again`` is off (``recompute='nothing'``).
    """

    makes_input_again = True

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in x's type or autocast's."""
        recipe = recipe_of(x) if self.makes_input_again else None
        if recipe is None or not keeps_input(self.weight):
            return linear(x, self.weight, self.bias)
        return linear_of(x, recipe, self.weight, self.bias)


def keeps_input(weight: Tensor) -> bool:
    """Whether a plain linear map keeps its input for the gradient of this weight."""
    return weight.requires_grad and type(weight) in ORDINARY


def gelu_linear(u: Tensor, layer: nn.Module) -> Tensor:
    """layer(GELU(u)), exact GELU, keeping u alone where ``layer`` is an ordinary `Linear`."""
    recorded = torch.is_grad_enabled() and not is_compiling()
    plain = recorded and is_plain(layer, Linear) and layer.makes_input_again
    if plain and keeps_input(layer.weight):
        return linear_of_gelu(u, layer.weight, layer.bias)
    return layer(F.gelu(u))


def quick_gelu_mlp(x: Tensor, first: nn.Module, activation: nn.Module, second: nn.Module) -> Tensor:
    """second(activation(first(x))); by `frozen_mlp` where all three are ours, as they were made.

    Args:
        x: (..., D).
        first, second: linear maps D -> H -> E.
        activation: between them.

    Returns:
        (..., E).
    """
    layers = (first, second)
    ours = is_plain(activation, QuickGELU) and all(is_plain(layer, Linear) for layer in layers)
    trained = any(p.requires_grad for layer in layers for p in layer.parameters())
    if not ours or trained or is_compiling():
        return second(activation(first(x)))
    return frozen_mlp(x, first.weight, first.bias, second.weight, second.bias)


def norm_linear(x: Tensor, norm: nn.Module, layer: nn.Module) -> Tensor:
    """layer(norm(x)); by `norm_linear_of_frozen` where both are ours and x needs no gradient.

    An exported graph has the two, whose weights are stored as they are.

    Args:
        x: (..., D).
        norm: a layer norm of D values.
        layer: a linear map D -> C.

    Returns:
        (..., C).
    """
    ours = is_plain(norm, LayerNorm) and is_plain(layer, Linear)
    given = [p for module in (norm, layer) for p in module.parameters()]
    if not ours or x.requires_grad or len({p.dtype for p in given}) > 1 or is_exporting():
        return layer(norm(x))
    return norm_linear_of_frozen(x, norm.weight, norm.bias, norm.eps, layer.weight, layer.bias)


class PatchConv(nn.Conv2d):
    """The convolution that cuts an image into patches; its weights as in `Linear`."""

    def forward(self, frames: Tensor) -> Tensor:
        """(M, 3, H, W) -> (M, D, h, w)."""
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if weight.dtype != frames.dtype and not autocasts(frames):
            weight = weight.to(frames.dtype)
            bias = None if bias is None else bias.to(frames.dtype)
        return self._conv_forward(frames, weight, bias)


class Projection(nn.Module):
    """x P, with a matrix P (in, out) that is a parameter of its owner.

    Files name some matrices beside the layers and not inside one: CLIP's ``proj`` and
    ``text_projection``, Side4Video's ``up``. So the owner keeps the parameter and calls this
    layer, so that hooking, wrapping or replacing it changes the model. It is not an
    ``nn.Linear``: that has the transpose, and what a tool writes into a transposed view is
    easily lost.

    Args:
        owner: the module that has the matrix; held in a tuple, so that it is not part of this one.
        name: of the parameter.
    """

    def __init__(self, owner: nn.Module, name: str) -> None:
        super().__init__()
        self.owner, self.name = (owner,), name

    @property
    def matrix(self) -> Tensor:
        """P, (in, out)."""
        return getattr(self.owner[0], self.name)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in x's type or autocast's."""
        return linear(x, self.matrix.T, None)

    def extra_repr(self) -> str:
        """The parameter's name and sizes, as printed."""
        return f'{self.name}, {" -> ".join(map(str, self.matrix.shape))}'


class QKV(Linear):
    """Queries, keys and values by one matrix: a linear map that can give some of its outputs.

    An attention calls it for all three, or, where few tokens look, for the queries of those
    and then for the keys and values of all. A layer put in its place is asked for all.
    """

    def forward(self, x: Tensor, rows: slice | None = None, bias: Tensor | None = None) -> Tensor:
        """(..., D) -> (..., 3·D), or (..., n) for n rows of the matrix.

        Args:
            x: (..., D).
            rows: of the matrix; ``None``: all.
            bias: (3·D,), of a layer that has none of its own.
        """
        weight, bias = self.weight, self.bias if bias is None else bias
        if rows is not None:
            weight, bias = weight[rows], None if bias is None else bias[rows]
        return linear(x, weight, bias)


class InProjection(QKV):
    """`QKV` whose weight and bias are its attention's ``in_proj_weight`` and ``in_proj_bias``.

    OpenAI's names put these two beside the output map, not inside a layer. So the attention
    owns them and this layer, which it calls, reads and sets them there: names stay, and
    whoever looks for linear layers finds one, with a weight, at ``attn.in_proj``.

    Args:
        owner: the attention; held in a tuple, so that it is not part of this layer.
    """

    def __init__(self, owner: nn.Module) -> None:
        nn.Module.__init__(self)
        self.owner = (owner,)
        self.out_features, self.in_features = owner.in_proj_weight.shape

    weight = property(lambda self: self.owner[0].in_proj_weight)
    bias = property(lambda self: self.owner[0].in_proj_bias)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ('weight', 'bias'):
            return setattr(self.owner[0], f'in_proj_{name}', value)
        return super().__setattr__(name, value)
