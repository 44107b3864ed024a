"""Encoders between what they were pretrained to be and what training made of them."""

from copy import deepcopy

import torch
from torch import nn

from .lora_folding import fold
from .pretrained import Pretrained


@torch.no_grad()
def interpolate(model: nn.Module, share: float) -> list[str]:
    """Set every trained encoder to (1 - share) · pretrained + share · trained weights, in place.

    Trained on one data set, a model between the two is often better on another and nearly as
    good on its own (Wortsman et al., WiSE-FT, 2022; Weng et al., Open-VCLIP, 2023). LoRA is
    folded first. What no pretrained file has, a classifier or the scale of a loss, stays.

    Args:
        model: with encoders that were read from pretrained files, and trained.
        share: 0 is the pretrained model, 1 the trained one, both to the bit.

    Returns:
        The names of these encoders.

    Raises:
        ValueError: for a share outside [0, 1], if no encoder was trained, or if one is quantised.
        TypeError: if the backbone has trained parts of its own, such as ST-Adapters.
    """
    if not 0 <= share <= 1:
        raise ValueError(f'interpolate: the share must lie in [0, 1], got {share}.')
    named = {n: m for n, m in model.named_modules() if isinstance(m, Pretrained)}
    trained = {n: m for n, m in named.items() if any(p.requires_grad for p in m.parameters())}
    own = [n for n, p in model.named_parameters() if p.requires_grad and n.startswith('backbone.')]
    own = [n for n in own if not n.startswith('backbone.trunk.')]
    if own:
        raise TypeError(
            f'interpolate: {", ".join(own[:3])} (of {len(own)}) of {type(model.backbone).__name__} '
            'are in no pretrained file: nothing to interpolate with. It is for encoders '
            "that are trained themselves: tune='all', lora."
        )
    if not trained:
        raise ValueError('interpolate: no encoder of this model was trained.')
    for encoder in trained.values():
        _interpolate(encoder, share)
    return sorted(trained)


def _interpolate(encoder: Pretrained, share: float) -> None:
    checkpoint = encoder.checkpoint
    if encoder.quantize is not None:
        raise ValueError(
            f'interpolate: weights of quantize={encoder.quantize!r} cannot be interpolated. Set '
            f'{encoder.setting}.quantize to None.'
        )
    if checkpoint is None:
        raise ValueError(
            f'interpolate: {encoder.setting}.checkpoint names no pretrained file to interpolate '
            'with. Take the file before it was merged.'
        )
    fold(encoder)
    start = deepcopy(encoder)
    start.checkpoint = checkpoint
    start.load_pretrained()
    for tuned, pretrained in zip(encoder.parameters(), start.parameters(), strict=True):
        tuned.copy_(torch.lerp(pretrained, tuned, share))
