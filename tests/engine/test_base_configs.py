from pathlib import Path

import pytest
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.runner import Runner

from mmstadapter.checks.hooks import OURS

BASE = Path(__file__).parents[2] / 'configs' / '_base_'


def test_the_runtime_keeps_mmaction2s_hooks_and_adds_ours():
    config = Config.fromfile(BASE / 'default_runtime.py')
    assert config.default_scope == 'mmaction'
    assert config.default_hooks.checkpoint.save_best == 'auto'
    assert config.default_hooks.checkpoint.interval == 1
    assert config.default_hooks.sampler_seed.type == 'DistSamplerSeedHook'
    assert config.randomness == dict(seed=0)
    assert {name: config.default_hooks[name].type for name in OURS} == OURS
    assert all(HOOKS.get(kind) for kind in OURS.values())


@pytest.mark.parametrize(
    'name, epochs, rate, clips', [('adamw_12e', 12, 7.5e-4, 192), ('adamw_50e', 50, 1e-3, 256)]
)
def test_the_schedules_are_the_released_ones(name, epochs, rate, clips):
    config = Config.fromfile(BASE / 'schedules' / f'{name}.py')
    optimizer = config.optim_wrapper.optimizer
    assert config.train_cfg.max_epochs == epochs
    assert (optimizer.lr, optimizer.weight_decay) == (rate, 0.01)
    assert config.optim_wrapper.paramwise_cfg == dict(bias_decay_mult=0.0)
    assert config.param_scheduler[0].warmup == 2
    assert config.auto_scale_lr.base_batch_size == clips


def test_a_run_with_the_released_schedule_starts_from_zero_and_ends_with_an_evaluation(
    toy, tmp_path
):
    schedule = Config.fromfile(BASE / 'schedules' / 'adamw_12e.py')
    schedule.train_cfg.max_epochs = 6  # evaluates after 5 and after the last
    record = tmp_path / 'record.jsonl'
    runner = Runner.from_cfg(toy.toy_config(tmp_path) | schedule.to_dict())
    runner.register_hook(toy.Record(str(record)))
    evaluated = []
    run_validation = runner.build_val_loop(runner._val_loop)
    runner._val_loop = run_validation
    original = run_validation.run
    run_validation.run = lambda: (evaluated.append(runner.epoch), original())[1]
    runner.train()
    assert evaluated == [5, 6]
    rates = [toy.json.loads(line)['lr'] for line in record.read_text().splitlines()]
    assert rates[:3] == [0.0, 7.5e-4 / 6, 7.5e-4 / 3]
    assert [g['weight_decay'] for g in runner.optim_wrapper.optimizer.param_groups] == [0.01, 0.0]
