"""Certificates: our models against numbers that the authors' code produced."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from .aim import AIMCase
from .case import Line, ModelCase, compare
from .dist import DiSTCase
from .evl import EVLCase
from .gathering import GatherCase
from .metrics import MetricsCase
from .retrieval import BertAdamCase, PoolCase, TokenCase
from .retrieval_data import FrameSamplingCase, PairingCase
from .side4video import Side4VideoCase
from .st_adapter import STAdapterCase
from .tables import TableCase, is_table
from .tds_clip import TDSCLIPCase
from .temp_me import TempMeCase
from .text import CLIPTextCase, EVATextCase, TokenizerCase
from .training import TrainingCase
from .vjepa2 import ProbeCase
from .zeroi2v import ZeroI2VCase

# (start of `source`, start of `task`) of a case's json -> what compares it
CASES: dict[tuple[str, str], Callable] = {
    ('linziyi96/st-adapter', 'A: ST-Adapter'): STAdapterCase,
    ('HJYao00/Side4Video', 'B: Side4Video recognition'): Side4VideoCase,
    ('HJYao00/Side4Video', 'C: Side4Video recognition'): Side4VideoCase,
    ('HJYao00/Side4Video', 'A: Side4Video retrieval visual'): Side4VideoCase,
    ('HJYao00/Side4Video', 'D: metrics'): MetricsCase,
    ('HJYao00/Side4Video', 'F: Side4Video retrieval visual'): Side4VideoCase,
    ('HJYao00/Side4Video', 'B: CLIP text tower'): CLIPTextCase,
    ('HJYao00/Side4Video', 'E: tokenizer'): TokenizerCase,
    ('HJYao00/Side4Video', 'F: EVA-CLIP text tower'): EVATextCase,
    ('HJYao00/Side4Video', 'G: frame sampling'): FrameSamplingCase,
    ('HJYao00/Side4Video', 'G: dataset pairing'): PairingCase,
    ('HJYao00/Side4Video', 'C: token-wise matching'): TokenCase,
    ('HJYao00/Side4Video', 'C: pooling baseline'): PoolCase,
    ('ArrowLuo/CLIP4Clip', 'C: pooling baseline'): PoolCase,
    ('HJYao00/Side4Video', 'C: all-gather'): GatherCase,
    ('HJYao00/Side4Video', 'G: BertAdam'): BertAdamCase,
    ('HJYao00/Side4Video', 'H: end-to-end'): TrainingCase,
    ('taoyang1122/adapt-image-models', 'AIM: '): AIMCase,
    ('MCG-NJU/ZeroI2V', 'ZeroI2V: '): ZeroI2VCase,
    ('OpenGVLab/efficient-video-recognition', 'EVL: '): EVLCase,
    ('alibaba-mmai-research/DiST', 'DiST: '): DiSTCase,
    ('BBYL9413/TDS-CLIP', 'TDSCLIP: '): TDSCLIPCase,
    ('facebookresearch/vjepa2', 'VJEPA2: attentive probe'): ProbeCase,
    ('LunarShen/TempMe', 'TempMe: '): TempMeCase,
}

__all__ = ['CASES', 'Line', 'ModelCase', 'compare', 'is_table', 'read_case']


# Comparisons of integers, and of processes, which have no other place than the CPU.
ON_CPU = (MetricsCase, TokenizerCase, FrameSamplingCase, PairingCase, GatherCase, BertAdamCase)


def read_case(path: Path, device: torch.device | str = 'cpu'):
    """The case stored in `path` (.safetensors, with its .json beside it; tables: .json alone).

    Args:
        path: of the numbers.
        device: where to compute, for cases that hold a model or a similarity; call ``lines()``
            under ``with torch.device(device)``.

    Returns:
        An object whose ``lines()`` yields every comparison.

    Raises:
        ValueError: if the authors' code it comes from, or what it is of, is unknown.
        FileNotFoundError: if one of the two files is missing.
    """
    if path.suffix == '.json':
        return TableCase(json.loads(path.read_text()))
    for file in (path.with_suffix('.json'), path.with_suffix('.safetensors')):
        if not file.is_file():
            raise FileNotFoundError(f'parity: a case needs {file.name} beside {path.name}')
    info = json.loads(path.with_suffix('.json').read_text())
    source, task = info.get('source', ''), info.get('task', '')
    for (known_source, known_task), case in CASES.items():
        if source.startswith(known_source) and task.startswith(known_task):
            device = 'cpu' if case in ON_CPU else str(device)
            with torch.device(device):
                return case(info, load_file(path.with_suffix('.safetensors'), device))
    known = '; '.join(' '.join(pair) for pair in CASES)
    raise ValueError(
        f'parity: {path.name} comes from {source or "nowhere stated"!r}, {task!r}. Known: {known}.'
    )
