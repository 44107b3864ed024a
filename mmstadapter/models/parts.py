"""The parts a model is made of: modules that are built already, or configs of them."""

from collections.abc import Mapping
from typing import Any

from mmaction.registry import MODELS
from mmengine.registry import Registry
from torch import nn

VERBS = ('embed', 'blocks', 'readout', 'final_norm')  # that every backbone calls


def built(part: Any, registry: Registry = MODELS) -> Any:
    """A part that is given as its config, built; one that is built, as it is."""
    return registry.build(dict(part)) if isinstance(part, Mapping) else part


def built_trunk(trunk: Mapping | nn.Module, who: str, clips: bool = False) -> nn.Module:
    """The image encoder of a backbone, from its config or as it is.

    Args:
        trunk: config of a trunk, or a trunk, which keeps its weights and what it trains, or a
            transformer of timm, which becomes a frozen one.
        who: the backbone, for messages.
        clips: whether it may be a video encoder, which takes clips in place of frames.

    Raises:
        TypeError: if it is another library's model, or no image encoder.
    """
    module = built(trunk)
    if type(module).__module__.startswith('timm.'):
        module = built(dict(type='mmstadapter.TimmViT', model=module))
    lacking = [verb for verb in VERBS if not hasattr(module, verb)]
    if lacking:
        raise TypeError(
            f'{who}: trunk must be a trunk such as CLIPViT, TimmViT or MMPretrainViT, or a config '
            f'of one, got {type(module).__name__}, which has no {", ".join(lacking)}. Vision '
            'transformers of timm are taken as they are; what makes another one a trunk says '
            'docs/add_a_trunk.md.'
        )
    if getattr(module, 'takes_clips', False) and not clips:
        raise TypeError(
            f'{who}: trunk must be an image encoder, got {type(module).__name__}, a video encoder, '
            'whose tokens are of several frames. ProbeViT and FrameMeanViT take it.'
        )
    return module
