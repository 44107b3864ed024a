"""What layers give while a model runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def recorded(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Name -> what the layer of that name gave, call by call, within the block.

    Args:
        layers: by the name to record them under.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    hooks = [
        layer.register_forward_hook(lambda _, given, out, name=name: found[name].append(out))
        for name, layer in layers.items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
