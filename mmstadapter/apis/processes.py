"""Work through many tasks in several processes that end with the one that started them."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import TypeVar

T = TypeVar('T')
R = TypeVar('R')
AHEAD = 4  # tasks handed to each process


def in_processes(function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[R]:
    """Results as they come, in no order.

    Args:
        function: of a module's top level, as processes need it.
        tasks: given out a few at a time.
        workers: processes.

    Raises:
        RuntimeError: if a process died, with the tasks it may have died of.
    """
    context = multiprocessing.get_context('fork')  # imports are dear
    pool = ProcessPoolExecutor(workers, context, _begin)
    rest, running = deque(tasks), dict[Future, T]()
    try:
        while rest or running:
            while rest and len(running) < AHEAD * workers:
                task = rest.popleft()
                running[pool.submit(function, task)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                del running[future]
                yield result
    except BrokenProcessPool as error:
        names = '\n  '.join(str(task) for task in running.values())
        raise RuntimeError(
            f'A process died, of one of these or for lack of memory:\n  {names}'
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # the one who started us says why
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
