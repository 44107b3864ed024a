"""Trunks whose frozen linear maps are stored in 8 or 4 bits, by torchao.

What is quantised is what the pretrained file holds, once, when it has been read. Names, shapes
and types of a state dict are those of the plain trunk: it has the rounded weights in full.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from .ops.linear import QKV, InProjection, Linear, is_plain
from .ops.quantized import full_weight, is_quantized

FORMS = ('int8', 'nf4', 'float8')
LAYERS = (Linear, QKV, InProjection, nn.Linear)
BLOCK = 64  # values with a scale of their own (nf4)
SCALES = 256  # of these put together, whose mean and largest are kept


def check_form(form: str | None, lora: dict | None, who: str) -> str | None:
    """Return a choice of ``quantize``.

    Raises:
        ValueError: for an unknown word, or beside ``lora``.
        ImportError: if torchao is not installed.
    """
    if form is None:
        return None
    if form not in FORMS:
        raise ValueError(
            f'{who}: quantize must be one of {", ".join(FORMS)} or None, got {form!r}. Four bits '
            "are 'nf4', which runs on CPUs and GPUs alike."
        )
    if lora is not None:
        raise ValueError(
            f'{who}: quantize and lora cannot be combined: the low-rank maps are laid beside '
            'weights in full. Leave one of them out.'
        )
    require_torchao(who)
    return form


def require_torchao(who: str) -> None:
    """Raise ImportError, saying how to install it, if torchao is not there or will not load."""
    try:
        import torchao.quantization  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{who}: quantize needs torchao, which cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[quantize]', or leave out quantize."
        ) from error


def require_device(form: str | None, device: torch.device) -> None:
    """Raise RuntimeError where a form does not run: float8 on anything but Hopper or newer."""
    if form != 'float8' or device.type == 'meta':
        return
    here = 'a CPU' if device.type != 'cuda' else torch.cuda.get_device_name(device)
    if device.type != 'cuda' or torch.cuda.get_device_capability(device) < (9, 0):
        raise RuntimeError(
            "quantize='float8' needs a Hopper GPU (H100, H200) or a newer one, and the trunk is "
            f"on {here}. Move the model first, or set model.backbone.trunk.quantize to 'int8' "
            "or 'nf4', which run everywhere."
        )


def require_frozen(encoder: nn.Module, tune: str) -> None:
    """Raise ValueError where there is nothing to store in a form."""
    if not any(True for _ in layers_of(encoder)):
        raise ValueError(
            f'{type(encoder).__name__}: quantize is for frozen linear maps, and tune={tune!r} '
            "trains all of them. Set tune='none' or quantize=None."
        )


# ------------------------------------------------------------------- layers


def layers_of(encoder: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name of its weight in the encoder, and linear map, of each that is wholly frozen."""
    names = {id(p): name for name, p in encoder.named_parameters()}
    for module in encoder.modules():
        weight = getattr(module, 'weight', None) if type(module) in LAYERS else None
        if isinstance(weight, Tensor) and not weight.requires_grad:
            yield names[id(weight)], module


@torch.no_grad()
def quantize(encoder: nn.Module, form: str | None) -> None:
    """Store the frozen linear maps of an encoder in a form, those that are not yet."""
    if form is None:
        return
    take_over(encoder)
    make, notes = maker(form), vars(encoder).get('_params_init_info')  # MMEngine's, of each
    for _, layer in list(layers_of(encoder)):
        if not is_quantized(layer.weight):
            require_device(form, layer.weight.device)
            old = layer.weight
            layer.weight = new = nn.Parameter(make(old.detach()), requires_grad=False)
            if notes:
                notes[new] = notes.pop(old)
            old.data = old.data.new_empty(0)  # DistributedDataParallel still has it in a list


def take_over(encoder: nn.Module) -> None:
    """Put a `Linear` of ours, which knows quantised weights, in place of PyTorch's frozen ones."""
    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if is_plain(child, nn.Linear) and not child.weight.requires_grad:
                parent.add_module(name, own_linear(child))


def own_linear(layer: nn.Linear) -> Linear:
    """A `Linear` with another's parameters."""
    with torch.device('meta'):
        made = Linear(layer.in_features, layer.out_features, layer.bias is not None)
    made.weight, made.bias = layer.weight, layer.bias
    return made.train(layer.training)


def maker(form: str) -> Callable[[Tensor], Tensor]:
    """What rounds a weight (out, in) to a form."""
    teach()
    return dict(int8=to_int8, nf4=to_nf4, float8=to_float8)[form]


def to_int8(weight: Tensor) -> Tensor:
    """Eight bits a value and a scale a row."""
    from torchao.quantization import Int8Tensor, PerRow

    made = Int8Tensor.from_hp(weight, PerRow())
    return Int8Tensor(made.qdata, made.scale, made.block_size, made.dtype)  # offsets are zero


@cache
def teach() -> None:
    """Teach torchao's tensors their mean, which MMEngine asks of every parameter, and nf4 a copy.

    torchao rounds a copy of an nf4 tensor again, in blocks of its own choice.
    """
    from torchao.quantization import Float8Tensor, Int8Tensor
    from torchao.quantization.quantize_.workflows.nf4 import nf4_tensor

    for implements in (Int8Tensor.implements, Float8Tensor.implements, nf4_tensor.implements):
        implements([torch.ops.aten.mean.default])(_mean)
    nf4_tensor.implements([torch.ops.aten.clone.default])(nf4_tensor.nf4_detach)  # of each part


def _mean(*given: Any) -> Tensor:
    args = given[-2]  # the last but one, whether types stand before it or not
    return full_weight(args[0]).mean()


def to_nf4(weight: Tensor) -> Tensor:
    """Four bits a value, quantiles of the normal distribution (Dettmers et al., QLoRA, 2023).

    Raises:
        ValueError: for a matrix that cannot be cut into blocks.
    """
    from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import to_nf4 as make

    if weight.numel() % BLOCK:
        raise ValueError(
            f"quantize='nf4': a matrix must have a multiple of {BLOCK} values, this one is "
            f"{tuple(weight.shape)}. Set model.backbone.trunk.quantize to 'int8'."
        )
    return make(weight.contiguous(), BLOCK, math.gcd(weight.numel() // BLOCK, SCALES))


def to_float8(weight: Tensor) -> Tensor:
    """Eight bits with an exponent; what is multiplied by it is rounded to such as well."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    if weight.shape[0] % 16 or weight.shape[1] % 16:
        raise ValueError(
            "quantize='float8': both sizes of a matrix must be multiples of 16, this one is "
            f"{tuple(weight.shape)}. Set model.backbone.trunk.quantize to 'int8'."
        )
    holder = nn.Linear(1, 1, bias=False, device='meta')
    holder.weight = nn.Parameter(weight.bfloat16(), requires_grad=False)
    quantize_(holder, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()))
    return holder.weight.detach()


# -------------------------------------------------------------- state dicts


def quantized_weights(encoder: nn.Module) -> dict[str, Tensor]:
    """Name -> weight of each map that is quantised now."""
    return {name: layer.weight for name, layer in layers_of(encoder) if is_quantized(layer.weight)}


def write_in_full(encoder: nn.Module, state_dict: dict, prefix: str, _: Any) -> None:
    """Hook of a state dict: weights in full, under the names and in the types of plain ones."""
    for name, weight in quantized_weights(encoder).items():
        state_dict[prefix + name] = full_weight(weight)


def holds(weight: Tensor, given: Tensor, form: str) -> bool:
    """Whether a quantised weight is what a given one, in full or rounded, is stored as."""
    if weight.shape != given.shape:
        return False
    own, given = full_weight(weight), given.detach().to(weight.device, weight.dtype)
    return torch.equal(own, given) or torch.equal(own, full_weight(maker(form)(given)))


@torch.no_grad()
def make_room(encoder: nn.Module, state_dict: dict, prefix: str, form: str) -> None:
    """Before a state dict is loaded: keep what it has already, make plain room for the rest."""
    for name, layer in list(layers_of(encoder)):
        given, weight = state_dict.get(prefix + name), layer.weight
        if given is None or not is_quantized(weight):
            continue
        if holds(weight, given, form):
            state_dict[prefix + name] = weight  # nothing is rounded twice
        else:
            make_plain(layer)


def make_plain(layer: nn.Module) -> None:
    """Give a quantised map a weight of the plain type, without values."""
    weight = layer.weight
    room = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
    layer.weight = nn.Parameter(room, requires_grad=False)


def make_all_plain(encoder: nn.Module) -> None:
    """Before a pretrained file is read."""
    for _, layer in list(layers_of(encoder)):
        if is_quantized(layer.weight):
            make_plain(layer)
