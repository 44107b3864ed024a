import pickle
import random
from functools import partial
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, worker_init_fn
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader, Dataset, IterableDataset

from mmstadapter.engine import EpochSeedHook, seed_worker


class Draws(Dataset):
    """Each sample is one number from each of the three random streams."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return random.random(), np.random.rand(), float(torch.rand(()))


def fake_runner(seed=0, epoch=0, iteration=0, **loader):
    dataset = Draws()
    # as MMEngine's runner makes it
    init = partial(worker_init_fn, num_workers=loader.get('num_workers', 0), rank=0, seed=0)
    options = dict(sampler=DefaultSampler(dataset, seed=seed), worker_init_fn=init) | loader
    return SimpleNamespace(
        seed=seed, epoch=epoch, iter=iteration, train_dataloader=DataLoader(dataset, **options)
    )


def epoch_of(runner, hook, epoch):
    runner.epoch = epoch
    hook.before_train_epoch(runner)
    return [[float(x.sum()) for x in batch] for batch in runner.train_dataloader]


@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.processes)])
class TestEpochs:
    def test_differ_from_each_other_in_every_stream(self, workers):
        runner, hook = fake_runner(num_workers=workers), EpochSeedHook()
        hook.before_train(runner)
        first, second = np.array(epoch_of(runner, hook, 0)), np.array(epoch_of(runner, hook, 1))
        draws = np.concatenate([first, second])
        assert all(len(set(draws[:, stream])) == 8 for stream in range(3))

    def test_are_the_same_whatever_came_before(self, workers):
        runner, hook = fake_runner(num_workers=workers), EpochSeedHook()
        hook.before_train(runner)
        epoch_of(runner, hook, 0)
        random.random(), np.random.rand(), torch.rand(3)
        continued = epoch_of(runner, hook, 1)
        assert continued == epoch_of(runner, hook, 1)

    def test_depend_on_the_seed(self, workers):
        draws = []
        for seed in (0, 1):
            runner, hook = fake_runner(seed, num_workers=workers), EpochSeedHook()
            hook.before_train(runner)
            draws += epoch_of(runner, hook, 0)
        assert len({x for sample in draws for x in sample}) == len(draws) * 3


def test_ranks_draw_different_numbers(monkeypatch):
    runner, hook = fake_runner(), EpochSeedHook()
    hook.before_train(runner)
    draws = []
    for rank in range(2):
        monkeypatch.setattr('mmstadapter.engine.epoch_seed.get_rank', lambda rank=rank: rank)
        hook.before_train_epoch(runner)
        draws.append((random.random(), np.random.rand(), float(torch.rand(()))))
    assert all(a != b for a, b in zip(*draws, strict=True))


def test_a_worker_init_fn_of_the_users_own_is_kept():
    runner, hook = fake_runner(worker_init_fn=print), EpochSeedHook()
    hook.before_train(runner)
    assert runner.train_dataloader.worker_init_fn is print


def test_the_sample_order_of_a_resumed_run_is_the_checkpoints():
    first, hook = fake_runner(seed=3), EpochSeedHook()
    hook.before_train(first)
    checkpoint = dict(meta={})
    hook.before_save_checkpoint(first, checkpoint)
    resumed, hook = fake_runner(seed=8, iteration=4), EpochSeedHook()
    hook.after_load_checkpoint(resumed, checkpoint)
    hook.before_train(resumed)
    assert resumed.train_dataloader.sampler.seed == 3


def test_a_run_that_only_starts_from_weights_keeps_its_own_order():
    runner, hook = fake_runner(seed=8), EpochSeedHook()
    hook.after_load_checkpoint(runner, dict(meta=dict(sampler_seed=3)))
    hook.before_train(runner)
    assert runner.train_dataloader.sampler.seed == 8


@pytest.mark.processes
class TestWorkersThatLiveOn:
    """They give what workers started anew in each epoch give, bit for bit."""

    def draws(self, epochs, persistent, **options):
        runner = fake_runner(num_workers=2, persistent_workers=persistent, **options)
        hook = EpochSeedHook()
        hook.before_train(runner)
        drawn = []
        for epoch in epochs:
            drawn.append(epoch_of(runner, hook, epoch))
            drawn.append([float(torch.rand(())), random.random()])  # as dropout does
        return drawn

    def test_draw_what_new_ones_draw(self):
        assert self.draws(range(3), True) == self.draws(range(3), False)

    def test_draw_the_same_when_resumed(self):
        assert self.draws([1, 2], True) == self.draws(range(3), True)[2:]

    def test_follow_a_loader_with_a_generator_of_its_own(self):
        def options():
            return dict(generator=torch.Generator().manual_seed(5))

        new, living = (self.draws(range(3), p, **options()) for p in (False, True))
        assert new == living

    def test_can_be_started_by_spawning(self):
        runner = fake_runner(num_workers=1, persistent_workers=True)
        EpochSeedHook().before_train(runner)
        sent = runner.train_dataloader.worker_init_fn
        received = pickle.loads(ForkingPickler.dumps(sent))
        sent.keywords['base'].fill_(7)
        assert received.func is sent.func and received.keywords['base'] == 7  # shared

    def test_follow_a_data_set_that_is_asked_for_whole_batches(self):
        class Batches(Draws):
            def __getitems__(self, indices):
                return [self[i] for i in indices]

        numbers = []
        for persistent in (False, True):
            runner, hook = fake_runner(), EpochSeedHook()
            runner.train_dataloader = DataLoader(
                Batches(), batch_size=2, num_workers=1, persistent_workers=persistent
            )
            hook.before_train(runner)
            numbers.append([epoch_of(runner, hook, 0), epoch_of(runner, hook, 1)])
        assert numbers[0] == numbers[1] and numbers[0][0] != numbers[0][1]


def test_workers_that_live_on_with_a_start_of_their_own_are_warned_about(caplog):
    from mmengine.logging import MMLogger

    MMLogger.get_instance('test_epoch_seed').addHandler(caplog.handler)
    runner = fake_runner(num_workers=1, persistent_workers=True, worker_init_fn=print)
    EpochSeedHook().before_train(runner)
    assert 'persistent_workers=False' in caplog.text


def test_a_loader_whose_length_is_unknown_is_taken_as_it_is():
    class Stream(IterableDataset):
        def __iter__(self):
            yield 0

    runner = fake_runner()
    runner.train_dataloader = DataLoader(Stream())
    EpochSeedHook().before_train(runner)
    assert runner.train_dataloader.worker_init_fn is seed_worker


def test_the_worker_seed_can_be_named_in_a_config():
    assert FUNCTIONS.get('mmstadapter.seed_worker') is seed_worker
