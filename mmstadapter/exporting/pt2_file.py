"""Archives of PyTorch, which torch.export.load reads where there is PyTorch and nothing of ours."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .tracing import Traced


def write(traced: Traced, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a graph with its weights; each of the metadata is a file of the archive."""
    torch.export.save(traced.program, str(path), extra_files=dict(metadata))


def run(path: Path, x: Tensor) -> list[Tensor]:
    """What the archive gives when it is loaded again."""
    with torch.no_grad():
        return list(torch.export.load(str(path)).module()(x))
