"""End a run on several processes when one of them stands still, and say which."""

import atexit
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch.distributed
from mmaction.registry import HOOKS
from mmengine.dist import barrier, get_dist_info, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed import Store

KEY = 'mmstadapter/heartbeat'
LEFT = 'left'  # what a process that is done says last
GO_ON = (
    'go on with --resume. Longer silence is borne with after '
    '--cfg-options default_hooks.heartbeat.limit=SECONDS.'
)
KEEPER = 'the process that keeps the store, rank 0 unless a launcher does'


class Heartbeat(threading.Thread):
    """Says regularly that this process is alive, and listens to the others.

    A process counts as standing still when its word has not changed for ``limit`` seconds of
    this process's clock; their clocks need not agree.

    Args:
        store: where all processes of the group write and read; a connection of its own.
        rank: of this process.
        size: number of processes.
        limit: seconds of silence that are borne with.
        end: called once with a message that names who is silent.
        go_on: end of that message, what to do then.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        size: int,
        limit: float,
        end: Callable[[str], None],
        go_on: str = GO_ON,
    ) -> None:
        super().__init__(name='mmstadapter-heartbeat', daemon=True)
        self.store, self.rank, self.size, self.limit, self.end = store, rank, size, limit, end
        self.go_on = go_on
        self.me = f'{socket.gethostname()}, process {os.getpid()}'
        self.beats = 0
        self.over = threading.Event()
        self.heard: dict[int, tuple[str, float]] = {}

    def speak(self) -> None:
        """A new word of this process."""
        self.beats += 1
        self.store.set(f'{KEY}/{self.rank}', f'{self.beats}, {self.me}')

    def run(self) -> None:
        """Speak and listen until this process is done or another is silent."""
        while not self.over.is_set():
            # The store's own timeout does not cover a process that keeps it and is stopped.
            unanswered = threading.Timer(self.limit, self.stop, [KEEPER])
            unanswered.daemon = True
            unanswered.start()
            try:
                self.speak()
                silent = self.listen(time.monotonic())
            except RuntimeError as error:
                silent = f'{KEEPER}, {error}'
            unanswered.cancel()
            if silent:
                self.stop(silent)
                return
            self.over.wait(self.limit / 10)

    def stop(self, silent: str) -> None:
        """End this process, unless it is about to end."""
        if not self.over.is_set():
            self.end(self.words(silent))

    def listen(self, now: float) -> str:
        """Who has not been heard for longer than the limit at a time; nobody is an empty text."""
        silent = []
        for rank in range(self.size):
            word = self.store.get(f'{KEY}/{rank}').decode()
            last, since = self.heard.get(rank, (None, now))
            if word != last:
                since = now
            self.heard[rank] = word, since
            if word != LEFT and rank != self.rank and now - since > self.limit:
                silent.append(f'rank {rank} ({word.partition(", ")[2]})')
        return ' and '.join(silent)

    def words(self, silent: str) -> str:
        """The message."""
        return (
            f'Rank {self.rank} of {self.size} ends: no sign of {silent} for {self.limit:g} s. It '
            'was stopped, hangs, or its machine is gone, and all others would wait for it. See '
            f'to it, then {self.go_on}'
        )

    def leave(self) -> None:
        """Say that this process is done, so that nobody waits for its next word."""
        self.finish()
        with suppress(RuntimeError):
            self.store.set(f'{KEY}/{self.rank}', LEFT)

    def finish(self) -> None:
        """Be silent from now on, and wait for a word that is under way.

        A thread that comes back from the store while Python ends would abort the process.
        """
        self.over.set()
        if self.is_alive():
            self.join(self.limit)


def leave_with(message: str) -> None:
    """End this process from a thread, whatever its main thread waits for."""
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def begin(limit: float, go_on: str = GO_ON) -> Heartbeat:
    """Speak and listen from now on, in every process of the group."""
    rank, size = get_dist_info()
    heartbeat = Heartbeat(own_connection(limit), rank, size, limit, leave_with, go_on)
    heartbeat.speak()
    barrier()  # from here on there is a word of everybody
    atexit.register(heartbeat.finish)
    heartbeat.start()
    return heartbeat


@HOOKS.register_module()
class HeartbeatHook(Hook):
    """End all processes of a run when one of them stands still, naming its rank.

    A process that is stopped (SIGSTOP, a debugger, a machine that is gone) leaves the others
    waiting in the next exchange: for gloo half an hour, and the error then names nobody. Here
    each process has a thread that says ten times a limit that it is alive, whatever the
    process computes or reads meanwhile; whoever misses another's word ends with status 1.
    A process that waits for a slow disk still speaks; ``env_cfg.dist_cfg.timeout`` bounds how
    long the others wait for such.

    Args:
        limit: seconds of silence that are borne with. ``env_cfg.dist_cfg.timeout``, if shorter,
            takes its place.

    Raises:
        ValueError: if the limit is not positive.
    """

    def __init__(self, limit: float = 60.0) -> None:
        if limit <= 0:
            raise ValueError(f'HeartbeatHook: limit must be positive seconds, got {limit}.')
        self.limit = limit
        self.heartbeat: Heartbeat | None = None

    def before_run(self, runner: Runner) -> None:
        """Begin to speak and listen, if there are several processes."""
        rank, size = get_dist_info()
        if not is_distributed() or size == 1 or self.heartbeat is not None:
            return
        timeout = ((runner.cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout')
        limit = self.limit if timeout is None else min(self.limit, timeout)
        self.heartbeat = begin(limit)

    def after_run(self, runner: Runner) -> None:
        """Say that this process is done."""
        if self.heartbeat is not None:
            self.heartbeat.leave()
            self.heartbeat = None


def own_connection(limit: float) -> Store:
    """The group's store through a connection that no other thread waits on."""
    default: Any = torch.distributed.distributed_c10d._get_default_store()
    store = default.clone()
    store.set_timeout(timedelta(seconds=limit))
    return store
