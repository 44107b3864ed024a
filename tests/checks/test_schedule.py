"""Warm-ups against the length of the training, the learning rate against the batch."""

import pytest

from mmstadapter.checks import prepare
from mmstadapter.checks.fields import Names
from mmstadapter.checks.schedule import batch_note

SCHEDULE = (
    "param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=%s, by_epoch=True, "
    'convert_to_iter_based=True)]'
)


def test_a_recipes_warm_up_is_shortened_for_a_shorter_training(written, notes):
    config, _ = prepare(written('train_cfg = dict(max_epochs=1)'))
    assert config.param_scheduler[0].warmup == pytest.approx(1 / 6)
    assert 'warmup: 1 is no shorter than the training of 1' in notes(train_cfg__max_epochs=1)


def test_one_in_steps_is_shortened_alike(written):
    lines = (
        "train_cfg = dict(_delete_=True, type='mmstadapter.StepTrainLoop', max_steps=60)\n"
        "param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=10, by_epoch=False)]"
    )
    config, _ = prepare(written(lines, train_cfg__max_steps=6))
    assert config.param_scheduler[0].warmup == 1


def test_one_that_fits_is_left_alone(written):
    config, notes = prepare(written('train_cfg = dict(max_epochs=2)'))
    assert config.param_scheduler[0].warmup == 1 and notes == []


@pytest.mark.parametrize('warmup', [2, 3, 50])
def test_one_that_was_written_for_this_training_is_a_mistake(complaint, warmup):
    said = complaint('train_cfg = dict(max_epochs=2)\n' + SCHEDULE % warmup)
    assert 'shorter than the training of 2' in said


def test_one_that_is_set_by_name_is_as_if_written_for_it(complaint):
    assert 'shorter than the training of 6' in complaint(param_scheduler__0__warmup=9)


def test_a_warm_up_of_the_hosts_is_looked_at_too(complaint):
    lines = "param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=%s)]"
    assert 'param_scheduler.0.end' in complaint(lines % 9)
    assert complaint(lines % 6) == ''


def note(config) -> str:
    return batch_note(config, Names.of(config))


def test_another_batch_than_the_rates_is_noted_with_both_rules(written):
    said = note(written('train_dataloader = dict(batch_size=2)'))
    assert 'A step has 2 items' in said and 'is meant for 8' in said
    assert '0.0005' in said and '0.001' in said  # 2e-3 times 1/4, and times 1/2
    assert said == note(written(train_dataloader__batch_size=2))
    assert note(written()) == ''
    assert note(written(train_dataloader__batch_size=2, auto_scale_lr__enable=True)) == ''


def test_accumulated_batches_count(written):
    options = dict(train_dataloader__batch_size=2, optim_wrapper__accumulative_counts=4)
    assert note(written(**options)) == ''


def test_a_rate_of_ones_own_is_ones_own_affair(written):
    lines = 'train_dataloader = dict(batch_size=2)\noptim_wrapper = dict(%s)'
    assert note(written(lines % 'optimizer=dict(lr=1e-3)')) == ''
    assert note(written(lines % 'clip_grad=None')) != ''
    assert note(written(train_dataloader__batch_size=2, optim_wrapper__optimizer__lr=1e-3)) == ''
