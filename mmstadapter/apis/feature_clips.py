"""The clips of a training whose features are kept: where each lies, and how it is made."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner.amp import autocast
from torch import nn

from ..datasets.feature_cache import file_of, is_kept
from ..datasets.loading import with_suffix

Todo = tuple['Part', int, int]  # a part, a video's index in it, a clip's number


@dataclass(frozen=True)
class Keeping:
    """Where and what to keep.

    Attributes:
        folder: of the features.
        copies: augmented clips of each training video.
        exact: keep float32 as it is, not as float16.
    """

    folder: Path
    copies: int = 4
    exact: bool = False

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f'--feature-copies must be at least 1, got {self.copies}.')

    @classmethod
    def of(
        cls, features: bool | str | None, work_dir: Path, copies: int, exact: bool
    ) -> 'Keeping | None':
        """As `mmstadapter fit` is told: a folder, True for one in the work dir, or not at all."""
        where = work_dir / 'features' if features is True else Path(features or '').resolve()
        return cls(where, copies, exact) if features else None


class Part:
    """The clips of a loader.

    Attributes:
        kind: 'train' or 'val'.
        dataset: of the videos.
        folder: of its features.
        copies: clips of each video.
        made: how they are made, JSON.
        precision: gives the autocast of the loop that will read them.
        trunk: its fingerprint.
    """

    def __init__(
        self, kind: str, config: Config, keeping: Keeping, model: nn.Module, device: torch.device
    ) -> None:
        self.kind, self.folder = kind, keeping.folder / kind
        self.dataset = DATASETS.build(config[f'{kind}_dataloader'].dataset)
        self.copies = keeping.copies if kind == 'train' else 1
        self.precision = _precision(kind, config, model)
        self.seed = (config.get('randomness') or {}).get('seed') or 0
        with self.precision():
            on = torch.is_autocast_enabled(device.type)
            dtype = torch.get_autocast_dtype(device.type) if on else torch.float32
        self.trunk = bytes(model.backbone.trunk.fingerprint.tolist()).hex()
        told = _told(config.model) | dict(
            trunk=self.trunk,
            pipeline=config[f'{kind}_dataloader'].dataset.pipeline,
            seed=self.seed,
            precision=f'{dtype}, kept as it is' if keeping.exact else f'{dtype}, kept in 16 bits',
        )
        self.made = json.dumps(told, default=str)

    def file(self, index: int, number: int) -> tuple[Path, str]:
        """Where a clip is kept, and the path of its video."""
        path = with_suffix(str(self.dataset.get_data_info(index)['filename']))
        return file_of(self.folder, path, number), path

    def todo(self) -> list[Todo]:
        """The clips that are not kept yet.

        Raises:
            ValueError: if some are, of another making.
        """
        numbers = ((i, n) for i in range(len(self.dataset)) for n in range(self.copies))
        return [
            (self, index, number)
            for index, number in numbers
            if not is_kept(*self.file(index, number), self.made)
        ]

    def sample(self, index: int, number: int) -> dict[str, Any]:
        """What the pipeline makes: each number another clip, the same each time.

        Raises:
            ValueError: if a step changes labels.
            VideoReadError: if the video cannot be decoded.
        """
        info = self.dataset.get_data_info(index)
        label = torch.as_tensor(info['label']).reshape(-1)
        with seeded(self.seed, self.kind, str(info['filename']), number):
            sample = self.dataset.pipeline(info)
        if not torch.equal(sample['data_samples'].gt_label.cpu(), label):
            raise ValueError(
                '--cache-features: a step of the pipeline changes labels, which are not kept. '
                'Take it out (flip_label_map of Flip), or leave --cache-features out.'
            )
        return sample


def _told(model: Mapping[str, Any]) -> dict[str, Any]:
    """What of a model's config features depend on; the weights' place and memory do not matter."""
    backbone = {k: v for k, v in model['backbone'].items() if k not in ('recompute', 'with_cp')}
    backbone['trunk'] = {k: v for k, v in backbone['trunk'].items() if k != 'checkpoint'}
    return dict(backbone=backbone, data_preprocessor=model.get('data_preprocessor'))


def _precision(
    kind: str, config: Config, model: nn.Module
) -> Callable[[], AbstractContextManager[None]]:
    """The context in which a loop runs the model."""
    if kind == 'val':
        return partial(autocast, enabled=bool((config.val_cfg or {}).get('fp16')))
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    return partial(wrapper.optim_context, model)


@contextmanager
def seeded(*what: Any) -> Iterator[None]:
    """Within it, the three streams of random numbers depend on ``what`` alone."""
    number = int.from_bytes(hashlib.sha256(json.dumps(what).encode()).digest()[:4], 'big')
    for_python, for_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(number)
        np.random.seed(number)
        torch.default_generator.manual_seed(number)
        try:
            yield
        finally:
            random.setstate(for_python)
            np.random.set_state(for_numpy)
