"""Training for a number of steps ends there, by epochs in all other respects."""

import json

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

SCHEDULE = dict(
    train_cfg=dict(type='mmstadapter.StepTrainLoop', max_steps=7, val_interval=1),
    param_scheduler=[dict(type='mmstadapter.WarmupCosineLR', warmup=2, by_epoch=False)],
)


@pytest.fixture
def train(toy, tmp_path):
    """Trains the toy, whose epochs have 3 steps; gives the runner and what was recorded."""

    def run(**changes):
        hook = dict(type='Record', path=str(tmp_path / 'record.jsonl'))
        config = toy.toy_config(tmp_path) | SCHEDULE | changes
        config['custom_hooks'].append(hook)
        runner = Runner.from_cfg(Config(config))
        runner.train()
        return runner, [json.loads(line) for line in open(hook['path'])]

    return run


def test_the_last_epoch_ends_with_the_steps(train, tmp_path):
    runner, record = train()
    assert [(line['epoch'], line['iter']) for line in record] == [
        (0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5), (2, 6),
    ]  # fmt: skip
    assert (runner.epoch, runner.max_epochs, runner.max_iters) == (3, 3, 7)
    assert (tmp_path / 'epoch_3.pth').is_file()
    assert runner.message_hub.get_scalar('val/acc/top1').data[0].size == 3


def test_the_schedule_is_counted_in_steps(train):
    rates = [line['lr'] for line in train()[1]]
    assert rates[:3] == pytest.approx([0, 0.005, 0.01])
    assert rates[3:] == pytest.approx(sorted(rates[3:], reverse=True))
    assert 0 < rates[6] < 0.002


@pytest.mark.slow
def test_resuming_repeats_nothing(train, toy, tmp_path):
    _, whole = train()
    (tmp_path / 'record.jsonl').unlink()
    (tmp_path / 'epoch_3.pth').unlink()
    _, rest = train(resume=True, load_from=str(tmp_path / 'epoch_2.pth'))
    assert rest == whole[6:]


@pytest.mark.parametrize('steps', [0, 2.5])
def test_a_senseless_number_is_refused(train, steps):
    with pytest.raises(ValueError, match='max_steps: must be a whole number of at least 1'):
        train(train_cfg=dict(type='mmstadapter.StepTrainLoop', max_steps=steps))


def test_a_data_set_smaller_than_a_batch_is_refused_with_the_reason(toy, train):
    empty = toy.loader(3, 0, training=True) | dict(drop_last=True)
    with pytest.raises(ValueError, match='StepTrainLoop: training needs at least one batch'):
        train(train_dataloader=empty)
    by_epoch = dict(by_epoch=True, max_epochs=1)
    with pytest.raises(ValueError, match='EpochSeedHook: training needs at least one batch'):
        train(train_dataloader=empty, train_cfg=by_epoch, param_scheduler=None)
