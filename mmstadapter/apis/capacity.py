"""How many clips a step, and whether blocks are recomputed, by the memory that there is."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config

from ..planning.account import GB
from ..planning.settings import changed, takes
from ..planning.step import TrainingStep

GPU_SHARE = 0.93  # the rest is the context's and the allocator's
CPU_SHARE = 0.8  # the rest is the system's and the readers'


class Capacity(NamedTuple):
    """Clips a step, whether blocks are recomputed besides, and why; no reason: as wanted."""

    batch_size: int
    with_cp: bool
    reason: str


def usable_memory(device: torch.device) -> float:
    """Bytes that a training may plan with. All there are count, so that it can go on later."""
    if device.type == 'cuda':
        return GPU_SHARE * torch.cuda.get_device_properties(device).total_memory
    return CPU_SHARE * os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


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
        return Capacity(batch, False, f'memory not planned: {str(error).splitlines()[0]}')
    note.write_text(json.dumps(dict(digest=digest, **found._asdict())), encoding='utf-8')
    return found


def _choose(config: Config, on_cpu: bool, is_given: bool, memory: float) -> Capacity:
    step = TrainingStep(config, on_cpu=on_cpu)
    batch, needed = step.videos, step.account().peak
    if needed <= memory:
        return Capacity(batch, False, '')
    why = f'{batch} clips would take {needed / GB:.1f} GB of {memory / GB:.1f}'
    backbone = config.model.backbone
    recomputes = takes(backbone, 'with_cp') and backbone.get('with_cp') is None
    if recomputes:
        step = TrainingStep(changed(config, {'model.backbone.with_cp': True}), on_cpu=on_cpu)
    needed = step.account().peak
    if recomputes and needed <= memory:
        reason = f'with_cp=True recomputes blocks, {needed / GB:.1f} GB in all: {why}'
        return Capacity(batch, True, reason)
    if is_given:
        reason = f'it will hardly fit: {batch} clips take {needed / GB:.1f} GB of {memory / GB:.1f}'
        return Capacity(batch, recomputes, reason)
    fits = step.largest(memory)
    size = 1 << max(fits, 1).bit_length() - 1
    also = ' with recomputed blocks' if recomputes else ''
    if not fits:
        why = f'not even one clip{also} fits {memory / GB:.1f} GB; take a smaller --arch'
    return Capacity(size, recomputes, f'only {size} clips a step{also}: {why}')
