"""The image tower of any CLIP file, under one set of names, and its identity."""

import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .lazy import LazyTensors
from .matching import Tower, load_tower
from .sources import SOURCES

IMAGE = Tower('trunk', 'image tower', 'load_visual', 'model.backbone.trunk', 'vision_config')
EVA_IMAGE = replace(IMAGE, kind='eva-trunk', family='EVA-CLIP')
CHUNK = 1 << 23  # values that are float32 at once, and as many that wait for their digest
PROJECTION = {'proj', 'head.weight', 'head.bias', 'vit.head.weight', 'vit.head.bias'}
TRUNKS = {'trunk': 'CLIPViT', 'eva-trunk': 'EVAViT'}
EVA_MARK = '.attn.q_bias'
OTHER_EVA = ('rope', 'relative_position', 'inner_attn_ln', 'ffn_ln', 'mlp.w1', 'gamma_1')


def load_visual(checkpoint: str | Path, activation: str = 'quick_gelu') -> LazyTensors:
    """CLIP's visual tower under OpenAI's names without ``visual.``, with ``proj`` if there.

    Whose names the file has is found by trying: a source fits if every name is in its
    table or its list of ignored names. What was ignored is logged. The tensors are read
    when they are asked for.

    Args:
        checkpoint: path or known name of a CLIP file, see `locate` and `read_tensors`.
        activation: what the model will compute, ``'quick_gelu'`` or ``'gelu'``.

    Raises:
        KeyError: if no source accepts every name of the file.
        ValueError: if the file, or a config beside it, says that it needs another activation,
            or when a tensor is asked for that holds no floating-point numbers.
    """
    return load_tower(IMAGE, checkpoint, activation, partial(_advice, IMAGE.kind))


def load_eva_visual(checkpoint: str | Path) -> LazyTensors:
    """The same of an EVA-CLIP file, under its own names without ``visual.``, with ``head``.

    Raises:
        KeyError: if it is none, or one of a form that `EVAViT` does not compute (rotary or
            relative positions, SwiGLU, inner norms).
    """
    return load_tower(EVA_IMAGE, checkpoint, None, partial(_advice, EVA_IMAGE.kind))


class Fingerprint:
    """Identity of a trunk's weights: sha256 of names, shapes and values, tensor by tensor.

    The same values give the same fingerprint in any floating type and on any device. The
    projection does not count, since not every source has it. The digest is taken in a thread,
    while the caller goes on: it takes as long as all else that reading a file does.
    """

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.beside = ThreadPoolExecutor(1)
        self.last: Future[None] | None = None

    def add(self, name: str, tensor: Tensor) -> None:
        """The next tensor, in the order of sorted names; stays as it is until `result`."""
        if name in PROJECTION:
            return
        self._update(f'{name} {tuple(tensor.shape)}\n'.encode())
        for part in tensor.detach().reshape(-1).split(CHUNK):
            values = part.to('cpu', torch.float32).contiguous().numpy()
            self._update(values.astype('<f4', copy=False).data)

    def _update(self, data: Any) -> None:
        """Let the thread go on with these bytes, when it is done with those before."""
        if self.last is not None:
            self.last.result()
        self.last = self.beside.submit(self.digest.update, data)

    def result(self) -> Tensor:
        """(32,) uint8; nothing can be added after it."""
        self.beside.shutdown()
        return torch.tensor(list(self.digest.digest()), dtype=torch.uint8)


def fingerprint(tensors: Mapping[str, Tensor]) -> Tensor:
    """The `Fingerprint` of tensors in any order, (32,) uint8."""
    whole = Fingerprint()
    for name in sorted(tensors):
        whole.add(name, tensors[name])
    return whole.result()


def _advice(kind: str, names: Collection[str]) -> str:
    """What to do with a file of other names."""
    for other in (s for s in SOURCES.values() if s.kind in TRUNKS and s.kind != kind):
        if not other.unknown(names) and other.known(names):
            return (
                f'It is a file of {other.name}, another transformer than {TRUNKS[kind]} computes: '
                f"set model.backbone.trunk to dict(type='mmstadapter.{TRUNKS[other.kind]}', ...)."
            )
    marks = [mark for mark in OTHER_EVA if any(mark in name for name in names)]
    if marks and kind == 'eva-trunk' or any(name.endswith(EVA_MARK) for name in names):
        return (
            f'It is an EVA transformer with {", ".join(marks) or "further parts"}, which EVAViT '
            'does not compute; mmstadapter.TimmViT has those that timm knows, such as '
            'eva02_large_patch14_clip_224.'
        )
    if kind == 'eva-trunk':
        return 'Give an EVA-CLIP file of ViT-E/14 or of the same post-norm form.'
    return 'Give a CLIP vision transformer of OpenAI, open_clip (not of timm) or Hugging Face.'
