"""LoRA and DoRA taken into the weights they were trained beside."""

import torch
from torch import Tensor, nn

from .lora_parts import ThreeParts
from .pretrained import Pretrained


def encoders_with_lora(model: nn.Module) -> dict[str, Pretrained]:
    """A model's encoders with low-rank maps in them, by name."""
    named = model.named_modules()
    return {n: m for n, m in named if isinstance(m, Pretrained) and m.lora is not None}


@torch.no_grad()
def fold(encoder: Pretrained) -> None:
    """Make an encoder the plain one that computes the same, in float32.

    Of a layer W with W x + s B A x it is W + s B A, with DoRA's lengths m the same with every
    row brought to length m. Products are made in float64, so outputs agree to about 1e-6. Its
    weights are no longer those of the pretrained file, and a checkpoint holds them.
    """
    encoder.float()
    for name, layer in _layers(encoder).items():
        base = layer.get_base_layer()
        base.weight.copy_(folded(layer))
        _replace(encoder, name, base)
    for name, layer in list(encoder.named_modules()):
        if isinstance(layer, ThreeParts):
            _replace(encoder, name, layer.base_layer)
    encoder.__dict__.pop('peft_config', None)  # what peft notes on a model it was put into
    encoder.lora = encoder.checkpoint = encoder.dtype = encoder.fingerprint = None
    encoder.source = 'state_dict'


def folded(layer: nn.Module) -> Tensor:
    """The weight of one layer, (out, in), in float64."""
    weight = layer.get_base_layer().weight.double()
    for adapter, inner in layer.lora_A.items():
        outer = layer.lora_B[adapter]
        weight = weight + layer.scaling[adapter] * outer.weight.double() @ inner.weight.double()
        if adapter in layer.lora_magnitude_vector:
            lengths = layer.lora_magnitude_vector[adapter].weight.double()
            weight = weight * (lengths / weight.norm(dim=1))[:, None]
    return weight


def _layers(encoder: nn.Module) -> dict[str, nn.Module]:
    """The layers that peft has wrapped, by name."""
    named = encoder.named_modules()
    return {name: layer for name, layer in named if len(getattr(layer, 'lora_A', ()))}


def _replace(encoder: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, last = name.rpartition('.')
    setattr(encoder.get_submodule(owner), last, layer)
