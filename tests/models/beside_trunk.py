"""What the backward pass keeps of a trunk that a method stands beside."""

import torch
from torch import Tensor, nn


def recorded_layers(model: nn.Module, video: Tensor) -> list[int]:
    """Layers of the trunk in which autograd recorded something; -1: what comes before them."""
    found: list[tuple[int, Tensor]] = []
    modules = [model.trunk.ln_pre, *(block.mlp for block in model.trunk.blocks)]
    for i, module in enumerate(modules, start=-1):
        module.register_forward_hook(lambda _, x, y, i=i: found.append((i, y)))
    assert model(video).requires_grad and found
    return [i for i, y in found if y.requires_grad]


def kept_tensors(model: nn.Module, video: Tensor) -> list[Tensor]:
    """What is kept for the backward pass, parameters left out."""
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        model(video)
    parameters = {p.data_ptr() for p in model.parameters()}
    return [t for t in kept if t.data_ptr() not in parameters]


def kept_layers(model: nn.Module, video: Tensor, stride: int = 1) -> set[int]:
    """Layers whose tokens are kept, of a trunk that sees every stride-th frame; -1: before them."""
    kept = kept_tensors(model, video)
    with torch.no_grad():
        x = model.trunk.embed(video[:, :, ::stride].transpose(1, 2).flatten(0, 1))
        layers = {-1: x}
        for i, block in enumerate(model.trunk.blocks):
            x = layers[i] = block(x)
    return {i for i, x in layers.items() if any(same_values(x, t) for t in kept)}


def same_values(x: Tensor, t: Tensor) -> bool:
    """Whether a tensor holds the values of another, in whatever order of axes."""
    return x.numel() == t.numel() and torch.equal(x.flatten().sort()[0], t.flatten().sort()[0])
