"""The image tower of a file under timm's names, whoever wrote the file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from .fetch import locate
from .files import read_tensors
from .sources import SOURCES

BESIDE = ('text.', 'logit_scale', 'logit_bias')  # what open_clip has beside an image tower
OPEN_CLIP, HEAD = 'visual.trunk.', 'visual.head.proj.'


def load_timm(checkpoint: str | Path) -> Mapping[str, Tensor]:
    """The tensors of an image tower, under timm's names or those of its original release.

    Taken out of open_clip's files with both towers, and renamed from Hugging Face's SigLIP; what
    else such a file holds is logged. All other files are given as they are, for timm to convert.

    Raises:
        KeyError: if a file of open_clip holds something unknown.
        ValueError: for a SigLIP of variable resolution.
    """
    path = locate(checkpoint)
    tensors = read_tensors(path)
    if any(name.startswith(OPEN_CLIP) for name in tensors):
        return _out_of_open_clip(path, tensors)
    hf = SOURCES['siglip-hf']
    if not any(name.endswith('head.attention.in_proj_weight') for name in tensors):
        return tensors
    if hf.unknown(tensors):
        raise KeyError(
            f"load_timm: {path} is named as in Hugging Face's SigLIP but for "
            f'{", ".join(hf.unknown(tensors)[:3])}. Give a file of SiglipModel (fixed resolution).'
        )
    return _logged(path, hf.lazily(tensors), hf.name, len(tensors))


def _out_of_open_clip(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tower = {n.removeprefix(OPEN_CLIP): t for n, t in tensors.items() if n.startswith(OPEN_CLIP)}
    if HEAD + 'weight' in tensors:  # a projection of open_clip's own, which may lack a bias
        weight = tensors[HEAD + 'weight']
        bias = tensors.get(HEAD + 'bias', torch.zeros(len(weight), dtype=weight.dtype))
        tower |= {'head.weight': weight, 'head.bias': bias}
    others = [n for n in tensors if not n.startswith((OPEN_CLIP, HEAD, *BESIDE))]
    if others:
        raise KeyError(
            f"load_timm: {path} holds, beside the {len(tower)} tensors of timm's transformer in "
            f'{OPEN_CLIP}*, others that have no place in it: {", ".join(others[:3])} '
            f"({len(others)}). Give a model whose image tower is timm's and a linear map."
        )
    return _logged(path, tower, 'open_clip', len(tensors))


def _logged(path: Path, tower: Mapping[str, Tensor], source: str, held: int) -> dict[str, Tensor]:
    print_log(
        f'{path}: {len(tower)} tensors of the image tower, named as in {source}, of {held}',
        'current',
    )
    return dict(tower)
