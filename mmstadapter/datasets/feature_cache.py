"""What a frozen trunk makes of clips, kept on disk: a training reads it instead of videos.

A file a clip, safetensors: ``inputs`` (V, 3, T, H, W), the clip as its pipeline gave it, and
``looked.0``, ``looked.1`` ..., what the backbone's `look` gave of its frames. The header says of
which video, by size and time of change, how all was made, and the CRC-32 of each tensor.
`mmstadapter fit --cache-features` writes it, `ReadFeatures` reads it.
"""

import hashlib
import json
import os
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmaction.registry import TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform
from safetensors import safe_open
from torch import Tensor

from ..weights import save_lazily
from .clip_cache import header_of, place, stamp
from .loading import with_suffix
from .opening import VideoReadError

FORMAT = 'mmstadapter features 1'
AGAIN = 'Run `mmstadapter fit` with --cache-features again'


class Kept(NamedTuple):
    """Of a clip: its pixels (V, 3, T, H, W), what `look` gave of its frames, and of which trunk."""

    inputs: Tensor
    looked: tuple[Tensor, ...]
    trunk: str


def digest_of(made: str) -> str:
    """SHA-256 of how features are made."""
    return hashlib.sha256(made.encode()).hexdigest()


def file_of(folder: str | Path, path: str, copy: int) -> Path:
    """The file of a video's clip of that number."""
    return place(folder, path).with_suffix(f'.{copy}.safetensors')


def is_kept(file: Path, path: str, made: str) -> bool:
    """Whether a clip of this very video is there, whole and made so.

    Raises:
        ValueError: if it was made in another way, naming what differs.
    """
    try:
        header = header_of(file, FORMAT, AGAIN)
    except (FileNotFoundError, ValueError):
        return False
    if header['made'] != made:
        old, new = json.loads(header['made']), json.loads(made)
        differ = ', '.join(key for key in new if old.get(key) != new[key])
        raise ValueError(
            f'--cache-features: {file.parents[1]} holds features that were made with another '
            f'{differ}. Give another folder, or remove this one.'
        )
    return os.path.isfile(path) and all(header[k] == v for k, v in stamp(path).items())


def rounded(looked: Sequence[Tensor]) -> list[Tensor]:
    """float32 as float16, 11 bits of 24; what has 16 bits already as it is.

    Raises:
        ValueError: if float16 cannot hold a number.
    """
    kept = [x.half() if x.dtype is torch.float32 else x for x in looked]
    if any(not torch.isfinite(x).all() for x in kept):
        raise ValueError(
            '--cache-features: the trunk gives numbers that float16 cannot hold, or none. Take '
            '--exact-features.'
        )
    return kept


def keep(file: Path, path: str, made: str, clip: Kept, exact: bool) -> None:
    """Write a clip, whole or not at all."""
    looked = clip.looked if exact else rounded(clip.looked)
    tensors = dict(inputs=clip.inputs) | {f'looked.{i}': x for i, x in enumerate(looked)}
    sums = {name: _sum(tensor) for name, tensor in tensors.items()}
    types = [str(x.dtype).removeprefix('torch.') for x in clip.looked]
    told = dict(sums=json.dumps(sums), types=json.dumps(types))
    _write(file, path, made, tensors, told)


def keep_reason(file: Path, path: str, made: str, reason: str) -> None:
    """Write why a clip cannot be made; every reading then ends with it."""
    _write(file, path, made, dict(inputs=torch.zeros(0)), dict(wrong=reason))


def _write(file: Path, path: str, made: str, tensors: dict[str, Tensor], told: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_lazily(tensors, file, stamp(path) | dict(format=FORMAT, made=made) | told)


def read(file: Path, path: str, digest: str) -> Kept:
    """The clip of a file, in the types that `look` gave.

    Raises:
        VideoReadError: if the video is gone, or the clip could not be decoded.
        ValueError: if the file is not there, damaged, or of another video or making.
    """
    if not os.path.isfile(path):
        raise VideoReadError(path, 'no such file')
    try:
        header = header_of(file, FORMAT, AGAIN)
    except FileNotFoundError:
        raise ValueError(f'{path} has no features in {file.parents[1]}. {AGAIN}.') from None
    if digest_of(header['made']) != digest or any(header[k] != v for k, v in stamp(path).items()):
        raise ValueError(f'{path} or its features in {file.parents[1]} changed. {AGAIN}.')
    if 'wrong' in header:
        raise VideoReadError(path, header['wrong'])
    with safe_open(file, 'pt') as found:
        tensors = {name: found.get_tensor(name) for name in json.loads(header['sums'])}
    for name, number in json.loads(header['sums']).items():
        if _sum(tensors[name]) != number:
            raise ValueError(f'{file}: {name} is not what was kept. Remove the file. {AGAIN}.')
    types = [getattr(torch, name) for name in json.loads(header['types'])]
    looked = tuple(tensors[f'looked.{i}'].to(dtype) for i, dtype in enumerate(types))
    return Kept(tensors['inputs'], looked, json.loads(header['made'])['trunk'])


def _sum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def sample_of(clip: Kept, label: Any) -> dict[str, Any]:
    """A clip as `FeatureRecognizer3D` takes it."""
    sample = ActionDataSample().set_gt_label(label)
    features = dict(looked=clip.looked, trunk=clip.trunk)
    return dict(inputs=clip.inputs, data_samples=sample, features=features)


@TRANSFORMS.register_module()
class ReadFeatures(BaseTransform):
    """A whole pipeline: a clip of a video with what the trunk made of it, by `FeatureRecognizer3D`.

    Reads ``filename`` and ``label``; gives ``inputs``, ``data_samples`` and ``features``.

    Args:
        folder: that `mmstadapter fit --cache-features` has filled.
        made: SHA-256 of how they were made; others are refused.
        copies: augmented clips a video, of which one is taken at random.
    """

    def __init__(self, folder: str, made: str, copies: int = 1) -> None:
        self.folder, self.made, self.copies = folder, made, copies

    def transform(self, results: dict) -> dict[str, Any]:
        """The sample."""
        path, copy = with_suffix(str(results['filename'])), random.randrange(self.copies)
        clip = read(file_of(self.folder, path, copy), path, self.made)
        return sample_of(clip, results['label'])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(folder={self.folder!r}, copies={self.copies})'
