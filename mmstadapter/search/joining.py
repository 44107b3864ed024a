"""Join the processes that torchrun started, for a command that needs no runner."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed

from ..engine.heartbeat import begin
from ..launch import leave_processes
from .sharing import TeamLostError

LONG = timedelta(days=30)  # others may read a film meanwhile; the heartbeat ends what hangs
GO_ON = 'give the same command again. Longer silence is borne with after --silence SECONDS.'


def local_device(device: str | None) -> str | None:
    """The device of this process: the one asked for, else its own GPU under torchrun."""
    rank = os.environ.get('LOCAL_RANK')
    if device or rank is None or not torch.cuda.is_available():
        return device
    return f'cuda:{int(rank) % torch.cuda.device_count()}'


@contextmanager
def joined(limit: float) -> Iterator[bool]:
    """The group of processes; gives whether this is the one that speaks.

    A process that dies or is stopped ends the others after ``limit`` seconds, with its rank.

    Raises:
        ValueError: if the limit is not positive.
    """
    if limit <= 0:
        raise ValueError(f'index: --silence must be positive seconds, got {limit:g}.')
    if int(os.environ.get('WORLD_SIZE', 1)) == 1 or is_distributed():
        yield True
        return
    dist.init_process_group('gloo', timeout=LONG)
    heartbeat = begin(limit, GO_ON)
    try:
        yield dist.get_rank() == 0
    except TeamLostError:
        time.sleep(1.5 * limit)  # the heartbeat ends this process meanwhile and says who is gone
        raise
    heartbeat.leave()
    leave_processes()
