"""How many clips a step, and what is recomputed, by the memory that there is."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config

from ..models.recomputing import DEFAULT, STEPS
from ..planning.account import GB
from ..planning.choosing import cheapest_step
from ..planning.machine import main_memory
from ..planning.settings import takes
from ..planning.step import TrainingStep

MORE = STEPS[STEPS.index(DEFAULT) + 1 :]  # what can be recomputed beyond what is by default
GPU_SHARE = 0.93  # the rest is the context's and the allocator's
CPU_SHARE = 0.8  # the rest is the system's and the readers'


class Capacity(NamedTuple):
    """Clips a step, what is recomputed (None: as the config has it), and why; '': as wanted."""

    batch_size: int
    recompute: str | None
    reason: str


def usable_memory(device: torch.device) -> float:
    """Bytes that a training may plan with. All there are count, so that it can go on later."""
    if device.type == 'cuda':
        return GPU_SHARE * torch.cuda.get_device_properties(device).total_memory
    return CPU_SHARE * main_memory()


def choose_capacity(
    config: Config, device: torch.device, is_given: bool, note: Path, memory: float | None = None
) -> Capacity:
    """What of a config's batch fits; a note keeps it for when the training goes on.

    Recomputing comes before fewer clips: it changes no result.

    Args:
        config: of the training.
        device: it will run on.
        is_given: the batch size is the user's, and stays.
        note: the file to keep it in.
        memory: bytes to plan with, those of the device if None.
    """
    batch = config.train_dataloader.batch_size
    asked = json.dumps([config.model.to_dict(), batch, is_given], default=str)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    try:
        old = json.loads(note.read_text(encoding='utf-8'))
        if old.pop('digest') == digest:
            return Capacity(**old)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    memory = usable_memory(device) if memory is None else memory
    try:
        found = _choose(config, device.type == 'cpu', is_given, memory)
    except Exception as error:  # a wrong guess must not stop what may work
        return Capacity(batch, None, f'memory not planned: {str(error).splitlines()[0]}')
    note.write_text(json.dumps(dict(digest=digest, **found._asdict())), encoding='utf-8')
    return found


def _choose(config: Config, on_cpu: bool, is_given: bool, memory: float) -> Capacity:
    step = TrainingStep(config, on_cpu=on_cpu)
    batch, needed = step.videos, step.account().peak
    if needed <= memory:
        return Capacity(batch, None, '')
    why = f'{batch} clips would take {needed / GB:.1f} GB of {memory / GB:.1f}'
    recompute, also = None, ''
    if _is_left_open(config.model.backbone):
        found = cheapest_step(config, memory, MORE, on_cpu=on_cpu)
        recompute, step, needed = found.step, found.training, found.training.account().peak
        also = f' with recompute={recompute!r}'
        if found.fits:
            reason = f'recompute={recompute!r}, {needed / GB:.1f} GB in all: {why}'
            return Capacity(batch, recompute, reason)
    if is_given:
        reason = f'it will hardly fit: {batch} clips take {needed / GB:.1f} GB of {memory / GB:.1f}'
        return Capacity(batch, recompute, reason)
    fits = step.largest(memory)
    size = 1 << max(fits, 1).bit_length() - 1
    if not fits:
        why = f'not even one clip{also} fits {memory / GB:.1f} GB; take a smaller --arch'
    return Capacity(size, recompute, f'only {size} clips a step{also}: {why}')


def _is_left_open(backbone: Mapping) -> bool:
    """Whether a backbone can recompute more, and its config does not say how much."""
    said = backbone.get('recompute') or backbone.get('with_cp')
    return takes(backbone, 'recompute') and said is None
