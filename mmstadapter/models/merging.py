"""ZeroI2V's adapters taken into the image model they were trained in."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from .backbones.zeroi2v import ADAPTERS, ZeroI2VViT
from .ops.bottleneck import Bottleneck
from .ops.linear import InProjection, Linear, is_plain
from .trunks.clip_vit import CLIPBlock


@torch.no_grad()
def merged(model: ZeroI2VViT) -> ZeroI2VViT:
    """The same function without adapters, a copy: what ``ZeroI2VViT(adapters=())`` computes.

    An adapter is A(u) = R u + c, R = I + scale · W_b W_a, c = scale · (W_b a + b). Before a
    layer W, b it makes W R, W c + b of it; behind one, R W, R b + c. The products are made in
    float64 and kept in float32, so outputs agree to about 1e-6.

    Args:
        model: a trained backbone on `CLIPViT`, whose weights are there.

    Raises:
        TypeError: for another backbone, for a trunk whose norms or layers are elsewhere than
            CLIP's, for replaced layers, and for adapters with an activation.
    """
    check(model)
    model = deepcopy(model)
    trunk = model.trunk.float()
    trunk.checkpoint, trunk.dtype = None, None
    for i, block in enumerate(trunk.blocks):
        attn, mlp = block.attn, block.mlp
        apart = model.adapter('attn_qkv', i)
        before = apart.values() if apart is not None else (model.adapter('attn_in', i),)
        put_before(attn.in_proj, before)
        put_behind(attn.out_proj, model.adapter('attn_out', i))
        put_before(mlp.c_fc, (model.adapter('mlp_in', i),))
        put_behind(mlp.c_proj, model.adapter('mlp_out', i))
    for name in (name for name in ADAPTERS if hasattr(model, name)):
        delattr(model, name)
    trunk.source, trunk.fingerprint = 'state_dict', None
    return model


def check(model: nn.Module) -> None:
    """Raise TypeError for what cannot be merged."""
    if not isinstance(model, ZeroI2VViT):
        raise TypeError(
            'merge: LoRA, DoRA and the adapters of ZeroI2VViT are linear, others are not; this is '
            f'{type(model).__name__} without LoRA in its encoders.'
        )
    for block in model.trunk.blocks:
        if type(block) is not CLIPBlock:
            raise TypeError(
                'merge: the trunk must be CLIPViT, whose branches begin with a norm and end with '
                f'a linear map, got {type(model.trunk).__name__}.'
            )
        for layer in (block.attn.in_proj, block.attn.out_proj, block.mlp.c_fc, block.mlp.c_proj):
            if not is_plain(layer, Linear, InProjection):
                raise TypeError(
                    'merge: the layers of the trunk must be its own, one is a '
                    f'{type(layer).__name__}, has hooks or is stored in 8 or 4 bits. Merge LoRA '
                    'first, quantise afterwards (model.backbone.trunk.quantize=None).'
                )
    if any(m.activation != 'none' for m in model.modules() if isinstance(m, Bottleneck)):
        raise TypeError('merge: adapters with an activation are not linear and stay as they are.')


def as_map(adapter: Bottleneck) -> tuple[Tensor, Tensor]:
    """R (D, D) and c (D,) of A(u) = R u + c, in float64."""
    inner, outer = adapter.fc1, adapter.fc2
    matrix = adapter.scale * outer.weight.double() @ inner.weight.double()
    shift = adapter.scale * (outer.weight.double() @ inner.bias.double() + outer.bias.double())
    return matrix + torch.eye(len(matrix), device=matrix.device), shift


def put_before(layer: nn.Module, adapters: Sequence[Bottleneck | None]) -> None:
    """Take adapters into the layer behind them, each into an equal part of its rows."""
    adapters = list(adapters)
    if adapters[0] is None:
        return
    weights, biases = layer.weight.double().chunk(len(adapters)), layer.bias.double()
    made = [as_map(adapter) for adapter in adapters]
    pairs = list(zip(weights, made, strict=True))
    bias = biases + torch.cat([weight @ shift for weight, (_, shift) in pairs])
    layer.weight.copy_(torch.cat([weight @ matrix for weight, (matrix, _) in pairs]))
    layer.bias.copy_(bias)


def put_behind(layer: nn.Module, adapter: Bottleneck | None) -> None:
    """Take an adapter into the layer before it."""
    if adapter is None:
        return
    matrix, shift = as_map(adapter)
    layer.bias.copy_(matrix @ layer.bias.double() + shift)
    layer.weight.copy_(matrix @ layer.weight.double())
