"""How long a training will take and how much memory, measured on a few clips of it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from torch import nn

from ..planning.machine import available_memory
from .device import choose_device
from .pipelines import clips_a_video

TOO_LARGE = 1_000_000_000  # parameters of a model that is not built just to measure
PARTS = ('backbone', 'cls_head', 'text_tower')
SHORT = 2.0  # seconds
START_UP = 20.0  # seconds of two processes until their first step, about


@dataclass
class Estimate:
    """What a training costs on this machine, about.

    Attributes:
        device: as a user says it.
        seconds: of training, validation and test.
        memory: bytes of a training step, on the device.
        available: bytes that the device has free, 0 if unknown.
    """

    device: str
    seconds: float
    memory: float
    available: float

    def lines(self) -> list[str]:
        """For the user."""
        lines = [
            f'device: {self.device}',
            f'about {span(self.seconds)}, {gib(self.memory)} of memory',
        ]
        if 0 < self.available < self.memory:
            lines.append(
                f'only {gib(self.available)} are free: give a smaller --batch-size, or '
                '--cfg-options model.backbone.recompute=block'
            )
        return lines


def span(seconds: float) -> str:
    """75 -> '2 minutes', 9000 -> '2.5 hours'."""
    if seconds < 90:
        return f'{math.ceil(seconds / 10) * 10} seconds'
    return f'{seconds / 60:.0f} minutes' if seconds < 5400 else f'{seconds / 3600:.1f} hours'


def gib(count: float) -> str:
    """Bytes as '1.5 GiB'; small ones as '20 MiB'."""
    return f'{count / 2**30:.1f} GiB' if count >= 2**29 else f'{count / 2**20:.0f} MiB'


def device_name() -> str:
    """'GPU NVIDIA H100' or 'CPU (no GPU found), 8 cores'."""
    if torch.cuda.is_available():
        return f'GPU {torch.cuda.get_device_name(0)}'
    return f'CPU (no GPU found), {torch.get_num_threads()} cores'


def estimate(config: Config) -> Estimate | None:
    """Train a step and test a video, with random weights; None for very large models.

    Args:
        config: as training gets it. Its lists and videos must be there.
    """
    model_config = config.model.to_dict()
    parts = [model_config[name] for name in PARTS if name in model_config]
    with torch.device('meta'):  # where MMAction2's blending of clips cannot be built
        built = map(MODELS.build, parts)
        if sum(p.numel() for part in built for p in part.parameters()) > TOO_LARGE:
            return None
    device = choose_device()
    for part in parts:
        for reader in (part, part.get('trunk'), part.get('text_tower')):
            if 'checkpoint' in (reader or {}):
                reader['checkpoint'] = None  # weights do not matter here
    model = MODELS.build(model_config).to(device)
    train, val, tested = (
        DATASETS.build(config[f'{kind}_dataloader'].dataset) for kind in ('train', 'val', 'test')
    )
    return estimate_of(model, train, config, [len(train), len(val), len(tested)])


def estimate_of(
    model: nn.Module, clips: Sequence[dict], config: Config, counts: Sequence[int]
) -> Estimate:
    """Train a step on the first of some clips and judge it.

    Args:
        model: on its device; it is trained a little.
        clips: samples.
        config: of the training.
        counts: of videos to train, validate and test on.
    """
    measured = _measure(model, clips, config)
    workers = max(1, config.train_dataloader.num_workers)
    clip = max(measured.read / workers, measured.step)
    if not config.train_dataloader.num_workers:
        clip = measured.read + measured.step
    view = measured.read / workers + measured.forward
    epochs, interval = config.train_cfg.max_epochs, config.train_cfg.get('val_interval', 1)
    views = clips_a_video(config.test_dataloader.dataset.pipeline)
    train, val, tested = counts
    judged = views * (math.ceil(epochs / interval) * val + tested)
    seconds = START_UP + epochs * train * clip + judged * view
    memory = measured.fixed + measured.kept * config.train_dataloader.batch_size
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else available_memory()
    return Estimate(device_name(), seconds, memory, free)


class _Measured(NamedTuple):
    """Seconds to read a clip, to train on it, to judge it; bytes kept of it, and of the model."""

    read: float
    step: float
    forward: float
    kept: float
    fixed: float


def _measure(model: nn.Module, dataset: Sequence[dict], config: Config) -> _Measured:
    read, sample = _timed(lambda: dataset[0])
    batch = pseudo_collate([sample])
    optimiser = build_optim_wrapper(model, config.optim_wrapper)
    model.train()
    start = time.perf_counter()
    with _counted(model) as bytes_kept:
        model.train_step(batch, optimiser)
    if (step := time.perf_counter() - start) < SHORT:
        step, _ = _timed(lambda: model.train_step(batch, optimiser))
    model.eval()
    with torch.no_grad():
        forward, _ = _timed(lambda: model.test_step(batch))
    tuned = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    fixed = sum(p.nbytes for p in model.parameters()) + 3 * tuned  # gradient, two of the optimiser
    return _Measured(read, step, forward, sum(bytes_kept.values()), fixed)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out; what is short is done twice: a first time sets things up."""
    for _ in range(2):
        start = time.perf_counter()
        result = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        if seconds > SHORT:
            break
    return seconds, result


@contextmanager
def _counted(model: nn.Module) -> Iterator[dict[int, int]]:
    """Storages that a forward pass keeps of a clip for the backward pass, with their bytes."""
    own = {tuple(sorted(p.shape)) for p in model.parameters()}  # and copies in another type
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(sorted(tensor.shape)) not in own:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept
