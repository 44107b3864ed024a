import json
from pathlib import Path

import pytest
import torch

from mmstadapter.engine import WarmupCosineLR

REFERENCE = json.loads(
    (Path(__file__).parents[1] / 'reference' / 'learning_rates.json').read_text()
)


def schedule(epochs=12, epoch_length=100, lr=1.0, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    options = dict(warmup=2, end=epochs) | options
    return optimizer, WarmupCosineLR.build_iter_from_epoch(
        optimizer=optimizer, epoch_length=epoch_length, **options
    )


def rates(optimizer, scheduler, steps):
    trace = []
    for _ in range(steps):
        trace.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return trace


def test_equals_the_released_st_adapter_schedule():
    reference = REFERENCE['st_adapter_lr_factor']
    trace = rates(*schedule(), steps=1200)
    for step, factor in reference['step_to_factor'].items():
        assert trace[int(step)] == factor


def test_equals_the_released_side4video_schedule_which_changes_every_tenth_iteration():
    reference = REFERENCE['side4video_lr_base1e-3_epochs30_warmup4']
    pair = schedule(epochs=30, epoch_length=95, lr=1e-3, warmup=4, update_interval=10)
    assert rates(*pair, steps=285) == reference['trace_3_epochs_of_95_iterations']


def test_equals_the_released_side4video_schedule_at_every_stored_epoch():
    reference = REFERENCE['side4video_lr_base1e-3_epochs30_warmup4']['at_epoch']
    trace = rates(*schedule(epochs=30, epoch_length=1000, lr=1e-3, warmup=4), steps=30_000)
    for epoch, rate in reference.items():
        if float(epoch) < 30:  # 30 is after the last iteration
            assert trace[round(float(epoch) * 1000)] == pytest.approx(rate, rel=1e-9)


COMPARATORS = json.loads((Path(__file__).parents[1] / 'reference' / 'comparators.json').read_text())


def test_equals_the_released_evl_schedule_which_has_no_warm_up():
    reference = COMPARATORS['evl_lr']
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=reference['lr'])
    scheduler = WarmupCosineLR(optimizer, warmup=0, end=reference['num_steps'])
    trace = rates(optimizer, scheduler, steps=reference['num_steps'])
    assert trace == pytest.approx(reference['rate_of_step'], rel=1e-9)


def test_equals_the_released_dist_schedule_whose_cosine_runs_through_the_warm_up():
    reference = COMPARATORS['dist_lr']
    start = reference['warmup_start_lr'] / reference['base_lr']
    pair = schedule(
        epochs=reference['epochs'],
        epoch_length=100,
        lr=reference['base_lr'],
        warmup=reference['warmup'],
        start_factor=start,
        cosine_from_start=True,
    )
    trace = rates(*pair, steps=3600)
    for epoch, rate in reference['epoch_to_lr_before_mult'].items():
        assert trace[round(float(epoch) * 100)] == pytest.approx(rate, rel=1e-9)
    assert start == 0.0025


def test_a_start_above_the_rate_is_refused():
    with pytest.raises(ValueError, match='start_factor must be from 0 to 1, got 2'):
        schedule(start_factor=2)


def test_a_resumed_schedule_continues_exactly():
    whole = rates(*schedule(epochs=4, epoch_length=7), steps=28)
    optimizer, scheduler = schedule(epochs=4, epoch_length=7)
    rates(optimizer, scheduler, steps=14)
    states = optimizer.state_dict(), scheduler.state_dict()
    optimizer, scheduler = schedule(epochs=4, epoch_length=7)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    assert rates(optimizer, scheduler, steps=14) == whole[14:]


def test_resuming_with_more_epochs_follows_the_longer_schedule():
    optimizer, scheduler = schedule(epochs=4, epoch_length=7)
    rates(optimizer, scheduler, steps=28)
    longer = schedule(epochs=8, epoch_length=7)
    longer[1].load_state_dict(scheduler.state_dict())
    whole = rates(*schedule(epochs=8, epoch_length=7), steps=56)
    assert rates(*longer, steps=28) == whole[28:]


def test_resuming_with_other_iterations_per_epoch_keeps_the_epoch():
    optimizer, scheduler = schedule(epochs=4, epoch_length=7)
    rates(optimizer, scheduler, steps=21)
    half = schedule(epochs=4, epoch_length=14)
    half[1].load_state_dict(scheduler.state_dict())
    whole = rates(*schedule(epochs=4, epoch_length=14), steps=56)
    assert rates(*half, steps=14) == whole[42:]


def test_every_group_follows_its_own_base_rate():
    groups = [dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=lr) for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups)
    scheduler = WarmupCosineLR(optimizer, warmup=4, end=8)
    scheduler.step()
    assert [group['lr'] for group in optimizer.param_groups] == [0.25, 0.025]


@pytest.mark.parametrize('options', [dict(warmup=12), dict(warmup=-1), dict(update_interval=0)])
def test_refuses_impossible_settings(options):
    with pytest.raises(ValueError, match='WarmupCosineLR'):
        schedule(**options)


def test_an_epoch_without_a_batch_is_refused_with_the_reason():
    with pytest.raises(ValueError, match='fewer items than .* drop_last=True'):
        schedule(epoch_length=0)


def test_refuses_to_be_constant_within_an_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='convert_to_iter_based=True'):
        WarmupCosineLR(optimizer, warmup=2, end=12, by_epoch=True)
