"""Random numbers that depend on the epoch alone, so that a resumed run repeats nothing."""

import logging
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from mmaction.registry import FUNCTION, HOOKS
from mmengine.dataset import worker_init_fn as host_worker_init_fn
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from .batches import check_batches


@FUNCTION.register_module()
def seed_worker(worker_id: int) -> None:
    """Seed Python's and NumPy's random numbers in a data-loading process.

    PyTorch has seeded its own generator with a number drawn in the main process
    when the epoch's workers were started, plus ``worker_id``; the other two
    streams follow that one.
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))


def follow_epochs(worker_id: int, base: Tensor) -> None:
    """Let a data-loading process that lives on be seeded anew in every epoch.

    It is as if it had been started anew: before the first item of an epoch, its three streams
    get the seeds of a fresh process.

    Args:
        worker_id: number of the process.
        base: the epoch's number for all workers, in shared memory; `EpochSeedHook` writes it.
    """
    seed_worker(worker_id)
    dataset = get_worker_info().dataset  # this process's own copy
    kind, seen = type(dataset), base.clone()

    def seeded(name: str) -> Callable:
        def get(self: Dataset, index: Any) -> Any:
            if base != seen:
                seen.copy_(base)
                torch.manual_seed(int(base) + worker_id)
                seed_worker(worker_id)
            return getattr(kind, name)(self, index)

        return get

    getters = [name for name in ('__getitem__', '__getitems__') if hasattr(kind, name)]
    dataset.__class__ = type(kind.__name__, (kind,), {name: seeded(name) for name in getters})


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Make every epoch's random numbers a function of (seed, epoch, rank).

    MMEngine seeds its data-loading processes with one constant, so that each
    epoch repeats the augmentations of the one before, and a resumed run starts
    its random numbers anew. This hook seeds Python, NumPy and PyTorch before each
    training epoch, before the loader starts its workers, and lets the workers
    derive their seeds from there. Training that was stopped and resumed at the
    end of an epoch then gives the same numbers as training in one go: sample
    order, augmentation, dropout. What validation draws in between does not matter.

    Holds for ``EpochBasedTrainLoop`` and the same number of processes and workers.
    Workers get :func:`seed_worker`, those that live on from epoch to epoch
    (``persistent_workers=True``) :func:`follow_epochs`, which gives the same numbers;
    unless the config names a ``worker_init_fn`` of its own.
    """

    # Last before the epoch begins: after hooks that may draw random numbers.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.seed: int | None = None
        self._saved_sampler_seed: int | None = None
        self._base: Tensor | None = None  # what workers that live on are seeded by

    def before_train(self, runner: Runner) -> None:
        """Settle the run's seed and prepare the loader; after a possible resume.

        Raises:
            ValueError: if the loader gives no batch.
        """
        if not isinstance(runner.train_dataloader.dataset, IterableDataset):  # which has no length
            check_batches('EpochSeedHook', len(runner.train_dataloader))
        shared = [runner.seed]
        broadcast_object_list(shared)  # ranks may have seeds of their own (diff_rank_seed)
        self.seed = shared[0]
        sampler = _sampler(runner.train_dataloader)
        if runner.iter > 0 and self._saved_sampler_seed is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._saved_sampler_seed
        self._prepare(runner.train_dataloader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed all streams of this process for the coming epoch."""
        entropy = np.random.SeedSequence([self.seed, runner.epoch, get_rank()])
        for_python, for_numpy, for_torch = entropy.generate_state(3)
        random.seed(int(for_python))
        np.random.seed(for_numpy)
        torch.manual_seed(int(for_torch))  # every device
        if self._base is not None:
            self._announce(runner.train_dataloader)

    def _announce(self, loader: DataLoader) -> None:
        """Draw the number that PyTorch draws when it starts an epoch's workers."""
        generator = loader.generator or torch.default_generator
        state = generator.get_state()
        self._base.random_(generator=generator)
        if loader._iterator is None:  # it will start them, and draw the same
            generator.set_state(state)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the seed of the sample order, which MMEngine draws anew on resuming."""
        seed = getattr(_sampler(runner.train_dataloader), 'seed', None)
        checkpoint['meta']['sampler_seed'] = seed

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember it; used if the run turns out to be resumed."""
        self._saved_sampler_seed = checkpoint.get('meta', {}).get('sampler_seed')

    def _prepare(self, loader: DataLoader) -> None:
        init_fn = loader.worker_init_fn
        from_host = isinstance(init_fn, partial) and init_fn.func is host_worker_init_fn
        ours = init_fn is None or from_host
        lives_on = loader.num_workers > 0 and loader.persistent_workers
        can_follow = ours and not isinstance(loader.dataset, IterableDataset)
        if lives_on and can_follow and hasattr(loader.dataset, '__dict__'):
            self._base = torch.zeros((), dtype=torch.int64).share_memory_()
            loader.worker_init_fn = partial(follow_epochs, base=self._base)
        elif ours:
            loader.worker_init_fn = seed_worker
        if lives_on and self._base is None:
            print_log(
                'EpochSeedHook: train_dataloader.persistent_workers is True, with a worker_init_fn '
                'of its own or a data set that is read as a stream, so the workers keep their '
                'random numbers from epoch to epoch and a resumed run will not repeat them. '
                'Set persistent_workers=False to resume exactly.',
                logger='current',
                level=logging.WARNING,
            )


def _sampler(loader: DataLoader) -> Iterable:
    """The sampler that orders the samples, also below a custom batch sampler."""
    if hasattr(loader.sampler, 'set_epoch'):
        return loader.sampler
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)
