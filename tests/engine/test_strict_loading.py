"""No run goes on from weights that are damaged, not numbers, or another model's."""

import json
import os
import random
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmstadapter.testing import tiny_trunk


@pytest.fixture(scope='module')
def toy(toy_module, tmp_path_factory):
    """The toy run's module; the current folder holds its trunk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('strict'))
        yield toy_module


def runner(toy, work_dir, **changes) -> Runner:
    name = uuid.uuid4().hex  # runners of one name in one process share their records
    cfg = Config(toy.toy_config(work_dir, epochs=2, experiment_name=name, val_dataloader=None))
    cfg.merge_from_dict(dict(val_cfg=None, val_evaluator=None) | changes)
    return Runner.from_cfg(cfg)


@pytest.fixture(scope='module')
def trained(toy) -> Path:
    """Folder of a run of two epochs."""
    work_dir = Path('trained').resolve()
    runner(toy, work_dir).train()
    return work_dir


@pytest.fixture
def resume(toy, trained, tmp_path) -> Callable:
    """Resume for a third epoch from ``epoch_2.pth`` after a change to it; the runner."""

    def go(change: Callable[[dict], None] = lambda content: None, **changes) -> Runner:
        content = torch.load(trained / 'epoch_2.pth', weights_only=True)
        change(content)
        torch.save(content, tmp_path / 'changed.pth')
        chosen = dict(resume=True, load_from=str(tmp_path / 'changed.pth'))
        again = runner(toy, tmp_path, **{'train_cfg.max_epochs': 3} | chosen | changes)
        again.train()
        return again

    return go


def test_what_training_wrote_is_resumed(resume):
    assert resume().epoch == 3


def drop(*path: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for name in path[:-1]:
            content = content[name]
        del content[path[-1]]

    return change


def put(value, *path) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


WEIGHT = 'cls_head.fc_cls.weight'


def rename(content: dict) -> None:
    content['state_dict']['cls_head.fc.weight'] = content['state_dict'].pop(WEIGHT)


@pytest.mark.parametrize(
    ('change', 'reason'),
    {
        'a tensor is missing': (drop('state_dict', WEIGHT), f'missing keys.*{WEIGHT}'),
        'a tensor has another name': (rename, 'cls_head.fc.weight'),
        'a tensor has another shape': (put(torch.ones(1, 32), 'state_dict', WEIGHT), WEIGHT),
        'no weights': (put({}, 'state_dict'), 'holds no weights.*an empty one'),
        'weights are a list': (put([torch.ones(1)], 'state_dict'), 'holds no weights.*list'),
        'a weight is text': (put('a', 'state_dict', WEIGHT), "holds no weights.*'str'"),
        'a weight is not a number': (
            put(torch.full((3, 32), torch.nan), 'state_dict', WEIGHT),
            f'must be finite numbers.*{WEIGHT} with 96 of 96',
        ),
        'no optimiser': (drop('optimizer'), 'state of the optimiser is missing'),
        'an empty optimiser': (put({}, 'optimizer'), 'state of the optimiser is missing'),
        'no averages': (put({}, 'optimizer', 'state'), 'averages of the optimiser are missing'),
        'averages are not numbers': (
            put(torch.full((8, 32), torch.nan), 'optimizer', 'state', 0, 'exp_avg'),
            "optimiser's state of tensor 0: weights must be finite.*exp_avg",
        ),
        'averages of other tensors': (
            put(torch.ones(7), 'optimizer', 'state', 0, 'exp_avg'),
            r'exp_avg of tensor 0 has shape \(7,\)',
        ),
        'other groups': (put([], 'optimizer', 'param_groups'), 'has 0 tensors in 0 groups'),
        'another optimiser': (put('SGD', 'meta', 'optimizer'), 'trained with SGD.*AdamW'),
        'no schedule': (drop('param_schedulers'), 'it has no schedules, this run 1'),
        'no epoch': (drop('meta', 'epoch'), 'meta.epoch must say'),
        'no meta': (drop('meta'), 'meta.iter must say'),
        'no record': (drop('message_hub'), 'message_hub'),
        'averaged weights': (
            put({'module.' + WEIGHT: torch.ones(1)}, 'ema_state_dict'),
            'running averages.*EMAHook',
        ),
    }.values(),
    ids=lambda value: '' if callable(value) else None,
)
def test_a_checkpoint_that_does_not_fit_is_not_resumed(resume, change, reason):
    with pytest.raises((RuntimeError, ValueError), match=f'(?s)changed.pth.*{reason}|{reason}'):
        resume(change)


def test_the_training_of_another_architecture_is_not_resumed(resume):
    with pytest.raises(RuntimeError, match='does not belong to this model'):
        resume(**{'model.backbone.bottleneck_dims': 4})


def test_everything_that_is_wrong_is_said_at_once(resume):
    def change(content: dict) -> None:
        del content['optimizer'], content['param_schedulers'], content['meta']['iter']

    with pytest.raises(RuntimeError, match=r'meta.iter.*optimiser is missing.*no schedules'):
        resume(change)


def test_a_config_in_a_checkpoint_is_not_run(resume, tmp_path):
    spoiled = tmp_path / 'spoiled'
    resume(put(f'open({str(spoiled)!r}, "w")', 'meta', 'config'))
    assert not spoiled.exists()


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.'])
def test_names_of_compiled_and_wrapped_models_are_understood(resume, prefix):
    def change(content: dict) -> None:
        content['state_dict'] = {prefix + k: v for k, v in content['state_dict'].items()}

    assert resume(change).epoch == 3


def test_a_part_that_was_compiled_is_understood(resume):
    def change(content: dict) -> None:
        content['state_dict'] = {
            k.replace('backbone.', 'backbone._orig_mod.'): v
            for k, v in content['state_dict'].items()
        }

    assert resume(change).epoch == 3


def test_a_model_with_compiled_parts_takes_either_names(toy, trained):
    compiled = runner(toy, 'compiled')
    compiled.model.backbone = torch.compile(compiled.model.backbone)
    compiled.load_checkpoint(str(trained / 'epoch_2.pth'), strict=True)
    saved = torch.load(trained / 'epoch_2.pth', weights_only=True)['state_dict']
    own = compiled.model.state_dict()
    name = next(name for name in saved if 'after_attn' in name)
    assert torch.equal(own[name.replace('backbone.', 'backbone._orig_mod.')], saved[name])


@pytest.mark.parametrize(
    'damage',
    {
        'cut': lambda data: data[: len(data) // 2],
        'empty': lambda data: b'',
        'other bytes': lambda data: b'\x17' + random.Random(0).randbytes(len(data)),
        'a brace': lambda data: b'{' + random.Random(0).randbytes(len(data)),
        'a web page': lambda data: b'<html>404</html>',
    }.values(),
    ids=['cut', 'empty', 'other bytes', 'a brace', 'a web page'],
)
@pytest.mark.parametrize('door', ['resume', 'load_from', 'test'])
def test_a_damaged_file_is_named_by_every_door(toy, trained, tmp_path, damage, door):
    path = tmp_path / 'damaged.pth'
    path.write_bytes(damage((trained / 'epoch_2.pth').read_bytes()))
    run = runner(toy, tmp_path, load_from=str(path), resume=door == 'resume')
    with pytest.raises(
        ValueError, match=r'damaged\.pth is no file of plain tensors, or is damaged'
    ) as told:
        run.test() if door == 'test' else run.train()
    assert 'weights_only' not in str(told.value)


def test_code_in_a_file_is_refused_by_its_name(toy, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, ('true',)

    torch.save(dict(state_dict={WEIGHT: Evil()}), tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=r'evil\.pth.* \w+\.system') as told:
        runner(toy, tmp_path, load_from=str(tmp_path / 'evil.pth')).test()
    assert 'weights_only' not in str(told.value)


class TestOtherWeights:
    """``load_from`` without ``resume``: training takes what fits, a test needs all."""

    @pytest.fixture
    def load(self, toy, tmp_path):
        def go(state: dict, test: bool = False):
            torch.save(dict(state_dict=state), tmp_path / 'other.pth')
            run = runner(toy, tmp_path, load_from=str(tmp_path / 'other.pth'))
            return run.test() if test else run.train()

        return go

    def test_one_tensor_that_fits_is_enough_for_training(self, load):
        load({WEIGHT: torch.ones(3, 32), 'more': torch.ones(1)})

    def test_nothing_that_fits_is_an_error(self, load):
        with pytest.raises(RuntimeError, match='none of its 1 tensors has a name and shape'):
            load({WEIGHT: torch.ones(9, 32)})

    def test_numbers_are_needed_in_training(self, load):
        with pytest.raises(ValueError, match='must be finite'):
            load({WEIGHT: torch.full((3, 32), torch.inf)})

    def test_a_test_refuses_what_is_missing(self, load):
        with pytest.raises(RuntimeError, match='other.pth does not belong to this model'):
            load({WEIGHT: torch.ones(3, 32)}, test=True)


class TestAveragedWeights:
    """MMEngine's EMAHook, with checkpoints that hold the tuned part alone."""

    @pytest.fixture(scope='class')
    def averaged(self, toy) -> Path:
        work_dir = Path('averaged').resolve()
        self.runner(toy, work_dir).train()
        return work_dir

    @staticmethod
    def runner(toy, work_dir, **changes) -> Runner:
        made = toy.toy_config(work_dir)['custom_hooks']
        return runner(toy, work_dir, custom_hooks=[*made, dict(type='EMAHook')], **changes)

    def test_a_test_with_the_same_config_uses_the_averages(self, toy, averaged, tmp_path):
        self.runner(toy, tmp_path, load_from=str(averaged / 'epoch_2.pth')).test()
        with_hook = json.loads(Path('seen.json').read_text())
        runner(toy, tmp_path, load_from=str(averaged / 'epoch_2.pth')).test()
        assert json.loads(Path('seen.json').read_text()) == with_hook

    def test_training_goes_on_with_both(self, toy, averaged, tmp_path):
        again = self.runner(toy, tmp_path, resume=True, load_from=str(averaged / 'epoch_1.pth'))
        again.train()
        one, two = (
            torch.load(folder / 'epoch_2.pth', weights_only=True) for folder in (tmp_path, averaged)
        )
        for part in ('state_dict', 'ema_state_dict'):
            assert one[part].keys() == two[part].keys()
            for name, tensor in two[part].items():
                assert torch.equal(one[part][name], tensor), name

    def test_it_does_not_go_on_without_the_hook(self, toy, averaged, tmp_path):
        with pytest.raises(RuntimeError, match='running averages and this run keeps none'):
            runner(toy, tmp_path, resume=True, load_from=str(averaged / 'epoch_2.pth')).train()

    def test_another_trunk_is_told(self, toy, averaged, tmp_path):
        trunk = tiny_trunk(checkpoint=None)
        changes = {'model.backbone.trunk': trunk, 'load_from': str(averaged / 'epoch_2.pth')}
        with pytest.raises(RuntimeError, match='does not belong to this model'):
            self.runner(toy, tmp_path, **changes).test()
