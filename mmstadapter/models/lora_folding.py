"""LoRA and DoRA taken into the weights they were trained beside."""

import torch
from torch import Tensor, nn

from .lora_parts import FUSED, ThreeParts
from .ops.linear import QKV, InProjection, is_plain
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
    for name, layer in lora_layers(encoder).items():
        base = layer.get_base_layer()
        base.weight.copy_(folded(layer))
        _replace(encoder, name, base)
    for name, layer in list(encoder.named_modules()):
        if isinstance(layer, ThreeParts):
            _replace(encoder, name, layer.base_layer)
    encoder.__dict__.pop('peft_config', None)  # what peft notes on a model it was put into
    encoder.lora = None
    _leave_file(encoder)


@torch.no_grad()
def fold_beside(owner: nn.Module, encoder: Pretrained) -> None:
    """The same for the maps that stand beside an encoder's attentions, see `LowRank`.

    Args:
        owner: whose ``low_rank`` they are, one a block; it has none afterwards.
        encoder: `CLIPViT`, `EVAViT`, a trunk of timm or MMPretrain, or a text tower; without
            LoRA of peft, which `fold` takes in before.

    Raises:
        TypeError: for layers that something has replaced.
    """
    encoder.float()
    blocks = getattr(encoder, 'blocks', None) or encoder.transformer.resblocks
    layers = [next(getattr(b.attn, n) for n in FUSED if hasattr(b.attn, n)) for b in blocks]
    for layer in layers:
        if not is_plain(layer, QKV, InProjection, nn.Linear):
            raise TypeError(
                f'merge: the layers of {type(encoder).__name__} must be its own, one is a '
                f'{type(layer).__name__} or has hooks. Merge first, quantise afterwards.'
            )
    for layer, low_rank in zip(layers, owner.low_rank, strict=True):
        layer.weight += low_rank.b.weight.double() @ low_rank.a.weight.double()
    owner.low_rank = nn.ModuleList()
    _leave_file(encoder)


def _leave_file(encoder: Pretrained) -> None:
    """Its weights are no longer those of a pretrained file."""
    encoder.checkpoint = encoder.dtype = encoder.fingerprint = None
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


def lora_layers(encoder: nn.Module) -> dict[str, nn.Module]:
    """The layers that peft has wrapped, by name."""
    named = encoder.named_modules()
    return {name: layer for name, layer in named if len(getattr(layer, 'lora_A', ()))}


def _replace(encoder: nn.Module, name: str, layer: nn.Module) -> None:
    owner, _, last = name.rpartition('.')
    setattr(encoder.get_submodule(owner), last, layer)
