"""A checksum of tensors, which tells a damaged file from the one that was written."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .errors import DamagedFile

SHA256 = 'sha256_of_tensors'  # where a safetensors file of ours says it


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, types, shapes and bytes in the order of names, 64 hexadecimal digits.

    Unlike a `Fingerprint`, which says whether two trunks compute the same, it changes with
    every bit.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu()
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def require_checksum(tensors: Mapping[str, Tensor], texts: Mapping[str, str], path: Path) -> None:
    """Raise if tensors are not those that a file's header was written for.

    Args:
        tensors: as they were read.
        texts: metadata of the file; those of other programs and of older versions say nothing.
        path: the file.
    """
    if SHA256 in texts and texts[SHA256] != checksum(tensors):
        raise DamagedFile(
            f'{path}: its tensors are not those that were written (another checksum), so the file '
            'is damaged. Fetch or write it again.'
        )
