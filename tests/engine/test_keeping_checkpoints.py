"""A kill at any moment of saving or validating loses nothing; what it left is resumed."""

import json
import os
import shutil
import uuid
from pathlib import Path

import pytest
import torch
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmstadapter.runs.resuming import find_checkpoints

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """Ends a run on the spot, as a kill would: nothing of the run handles it."""


@HOOKS.register_module(force=True)
class KilledInValidation(Hook):
    """Ends the run in a validation; in the first of the epoch or iteration given."""

    def __init__(self, at: int) -> None:
        self.at = at

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.at in (runner.epoch, runner.iter):
            raise Killed


@HOOKS.register_module(force=True)
class Validated(Hook):
    """Notes after which epoch and iteration there were metrics."""

    priority = 'LOWEST'
    seen: list[tuple[int, int]] = []

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.seen.append((runner.epoch, runner.iter))


@pytest.fixture
def validated(monkeypatch) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(Validated, 'seen', seen)
    return seen


def runner(toy, work_dir, *hooks: dict, **changes) -> Runner:
    name = uuid.uuid4().hex  # runners of one name in one process share their records
    cfg = Config(toy.toy_config(work_dir, epochs=2, experiment_name=name))
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='Validated'), *hooks]
    for name in {'train_cfg', 'param_scheduler'} & changes.keys():  # which are no changes but whole
        cfg[name] = changes.pop(name)
    cfg.merge_from_dict({'default_hooks.checkpoint.save_best': 'auto'} | changes)
    return Runner.from_cfg(cfg)


def files(folder) -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir() if p.is_file() and p.suffix != '.py')


def epochs(path) -> int:
    return torch.load(path, weights_only=True)['meta']['epoch']


BY_ITERATIONS = {
    'train_cfg': dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2),
    'param_scheduler': [dict(type='ConstantLR', factor=1.0, by_epoch=False)],
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': 2,
    'log_processor': dict(by_epoch=False),
}


class TestKilledInValidation:
    @pytest.mark.parametrize('epoch', [1, 2])
    def test_it_is_made_up_for_and_all_ends_as_if_undisturbed(self, toy, validated, epoch):
        runner(toy, 'whole').train()
        expected = list(validated)
        validated.clear()
        with pytest.raises(Killed):
            runner(toy, 'run', dict(type='KilledInValidation', at=epoch)).train()
        runner(toy, 'run', resume=True).train()
        assert validated == expected == [(1, 3), (2, 6)]
        assert files('run') == files('whole')
        one, two = (torch.load(f'{d}/epoch_2.pth', weights_only=True) for d in ('run', 'whole'))
        assert all(torch.equal(one['state_dict'][n], t) for n, t in two['state_dict'].items())
        best = [d['message_hub']['runtime_info']['best_ckpt'] for d in (one, two)]
        assert Path(best[0]).name == Path(best[1]).name

    def test_a_run_by_iterations_makes_it_up_too(self, toy, validated):
        with pytest.raises(Killed):
            runner(toy, 'run', dict(type='KilledInValidation', at=4), **BY_ITERATIONS).train()
        assert [at for _, at in validated] == [2]
        runner(toy, 'run', resume=True, **BY_ITERATIONS).train()
        assert [at for _, at in validated] == [2, 4]

    def test_a_validation_that_was_finished_is_not_repeated(self, toy, validated):
        runner(toy, 'run').train()
        assert [epoch for epoch, _ in validated] == [1, 2]
        runner(toy, 'run', resume=True, **{'train_cfg.max_epochs': 3}).train()
        assert [epoch for epoch, _ in validated] == [1, 2, 3]


class TestKilledWhileSaving:
    @pytest.mark.parametrize('name', ['epoch_1.pth', 'epoch_2.pth', 'best_', 'last_checkpoint'])
    @pytest.mark.parametrize('moment', ['before', 'midway', 'after'])
    @pytest.mark.sweep
    def test_what_is_left_can_be_resumed(self, toy, monkeypatch, name, moment):
        real, seen = LocalBackend.put, []

        def put(self, obj, path):
            if not Path(path).name.startswith(name):
                return real(self, obj, path)
            seen.append(path)
            if len(seen) < 2:  # the second time, a file of the run is there already
                return real(self, obj, path)
            if moment == 'after':
                real(self, obj, path)
            elif moment == 'midway':
                part = Path(f'{path}.{uuid.uuid4().hex}.part')
                part.write_bytes(obj[: len(obj) // 2])
            raise Killed

        changes = {'default_hooks.checkpoint.max_keep_ckpts': 1}
        monkeypatch.setattr(LocalBackend, 'put', put)
        try:
            runner(toy, 'run', **changes).train()
        except Killed:
            pass
        monkeypatch.setattr(LocalBackend, 'put', real)
        newest = find_checkpoints(runner(toy, 'run', **changes))[0]
        done = epochs(newest)
        assert done >= 1 and len(list(Path('run').glob('best_*'))) >= 1
        again = runner(toy, 'run', resume=True, **changes)
        again.train()
        assert again.epoch == 2
        left = files('run')
        assert not [n for n in left if n.endswith('.part')]
        assert sum(n.startswith('best_') for n in left) == 1
        assert Path(Path('run/last_checkpoint').read_text()).name == 'epoch_2.pth'

    def test_the_old_one_goes_only_after_the_new_one_came(self, toy, monkeypatch):
        real = LocalBackend.remove

        def remove(self, path):
            assert Path('run/last_checkpoint').read_text() != str(path)
            assert epochs(Path('run/last_checkpoint').read_text()) == 2
            real(self, path)

        monkeypatch.setattr(LocalBackend, 'remove', remove)
        runner(toy, 'run', **{'default_hooks.checkpoint.max_keep_ckpts': 1}).train()
        assert [n for n in files('run') if n.startswith('epoch')] == ['epoch_2.pth']

    def test_a_full_disk_leaves_the_last_checkpoint_and_says_what_it_needs(self, toy, monkeypatch):
        real = Path.write_bytes

        def write_bytes(self, data):
            if 'epoch_2' in self.name:
                real(self, data[:100])
                raise OSError(28, os.strerror(28))
            return real(self, data)

        monkeypatch.setattr(Path, 'write_bytes', write_bytes)
        with pytest.raises(OSError, match=r'epoch_2\.pth could not be written.* bytes are needed'):
            runner(toy, 'run').train()
        left = [n for n in files('run') if n.startswith('epoch')]
        assert left == ['epoch_1.pth']
        assert Path('run/last_checkpoint').read_text().endswith('run/epoch_1.pth')


class TestTheNewestWholeOne:
    @pytest.fixture
    def trained(self, toy, tmp_path_factory):
        runner(toy, 'run').train()
        return Path('run')

    @pytest.fixture
    def resume(self, toy):
        def go(folder='run') -> int:
            again = runner(toy, folder, resume=True, **{'train_cfg.max_epochs': 2})
            again._train_loop = again.build_train_loop(again._train_loop)
            again.load_or_resume()
            return again.epoch

        return go

    def test_is_the_one_that_is_noted(self, trained, resume):
        assert resume() == 2
        (trained / 'last_checkpoint').write_text('run/epoch_1.pth')
        assert resume() == 1  # written by hand, to go back

    def test_is_the_one_before_where_the_last_is_cut(self, trained, resume, caplog):
        path = trained / 'epoch_2.pth'
        path.write_bytes(path.read_bytes()[:1000])
        assert resume() == 1

    @pytest.mark.parametrize('note', [None, '', 'run/epoch_9.pth', 'gone/epoch_2.pth'])
    def test_needs_no_note(self, trained, resume, note):
        last = trained / 'last_checkpoint'
        last.unlink() if note is None else last.write_text(note)
        assert resume() == 2

    def test_came_after_the_note_where_a_kill_was_in_between(self, trained, resume):
        (trained / 'last_checkpoint').write_text('run/epoch_1.pth')
        os.utime(trained / 'last_checkpoint', ns=(0, 0))
        assert resume() == 2

    def test_is_found_in_a_folder_that_was_moved(self, trained, resume):
        shutil.move('run', 'elsewhere')
        assert resume('elsewhere') == 2

    def test_is_not_one_of_an_older_and_longer_run(self, trained, resume):
        shutil.copy(trained / 'epoch_2.pth', trained / 'epoch_7.pth')
        os.utime(trained / 'epoch_7.pth', ns=(0, 0))
        assert resume() == 2

    def test_is_asked_for_by_name_where_there_is_none(self, trained, resume):
        for path in trained.glob('epoch_*.pth'):
            path.write_bytes(b'')
        with pytest.raises(ValueError, match=r'(?s)No checkpoint.*epoch_2.*epoch_1.*--resume'):
            resume()

    def test_a_run_that_has_none_begins(self, toy, resume):
        assert resume('new') == 0


def test_counts_reach_the_file_of_a_tests_results(toy, tmp_path):
    work = tmp_path / 'test'
    hooks = dict(type='mmstadapter.BadVideoHook')
    run = runner(toy, work, hooks)
    run.model.init_weights()
    run.test()
    (results,) = (json.loads(path.read_text()) for path in work.glob('*/*.json'))
    assert results['bad_videos'] == 0 and results['seen/videos'] == 7


def test_the_note_and_the_checkpoints_are_written_by_the_host_hook_itself():
    assert CheckpointHook.before_train.__module__ == 'mmstadapter.runs.keeping'
