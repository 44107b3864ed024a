"""Bad videos are warned of once, counted each epoch, written down, and stop the run in time."""

import json
import logging

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from .conftest import write_video
from .test_video_dataset import STEPS


class Brightness(BaseModel):
    """Three scores from the mean of a clip."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 3)

    def forward(self, inputs, data_samples, mode):
        scores = self.linear(torch.stack(inputs).float().flatten(1).mean(1, keepdim=True) / 255)
        if mode == 'loss':
            return dict(loss=scores.square().mean())
        for sample, score in zip(data_samples, scores, strict=True):
            sample.set_pred_score(score)
        return data_samples


def make_runner(folder, broken: int, readable: int = 6, **hook) -> Runner:
    """Train one epoch and validate on the same list, with the last videos broken."""
    folder.mkdir(exist_ok=True)
    for number in range(readable):
        write_video(folder / f'{number}.mp4', frames=3, size=(32, 32))
    total = readable + broken
    (folder / 'list.txt').write_text(''.join(f'{n}.mp4 {n % 3}\n' for n in range(total)))
    loader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='mmstadapter.VideoDataset',
            ann_file=str(folder / 'list.txt'),
            data_prefix=dict(video=str(folder)),
            pipeline=STEPS,
        ),
    )
    test_loader = {**loader, 'dataset': {**loader['dataset'], 'test_mode': True}}
    evaluator = dict(type='mmstadapter.VideoAccMetric')
    return Runner(
        Brightness(),
        str(folder / 'work'),
        train_dataloader=loader,
        val_dataloader=test_loader,
        test_dataloader=test_loader,
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=2),
        val_cfg=dict(),
        test_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        custom_hooks=[dict(type='mmstadapter.BadVideoHook', **hook)],
        default_scope='mmaction',
        experiment_name=folder.name,
    )


@pytest.fixture
def warnings(monkeypatch):
    """What the hook logs as warnings."""
    kept = []

    def keep(message, logger=None, level=logging.INFO):
        kept.append(message) if level == logging.WARNING else None

    monkeypatch.setattr('mmstadapter.datasets.bad_videos.print_log', keep)
    return kept


def test_each_bad_video_is_warned_of_once_and_each_epoch_counted(tmp_path, warnings):
    make_runner(tmp_path, broken=2).train()
    assert sum('Bad video (train)' in line and '6.mp4' in line for line in warnings) == 1
    assert sum('Bad video (val)' in line and '6.mp4' in line for line in warnings) == 1
    assert sum('2 of 8 train videos' in line and 'replaced' in line for line in warnings) == 2
    assert sum('2 of 8 val videos' in line and 'counted as wrong' in line for line in warnings) == 1


def test_the_list_is_written_whole(tmp_path, warnings):
    make_runner(tmp_path, broken=2).train()
    for mode in ('train', 'val'):
        written = json.loads((tmp_path / 'work' / f'bad_videos_{mode}_rank0.json').read_text())
        assert sorted(written) == [str(tmp_path / '6.mp4'), str(tmp_path / '7.mp4')]
        assert written[str(tmp_path / '6.mp4')].startswith('cannot be opened')
    assert not list((tmp_path / 'work').glob('*.partial'))


def test_testing_reports_the_number_beside_the_metrics(tmp_path, warnings):
    runner = make_runner(tmp_path, broken=2)
    metrics = runner.test()
    assert metrics['bad_videos'] == 2 and metrics['acc/top1'] <= 6 / 8
    assert runner.message_hub.get_scalar('test/bad_videos').current() == 2


def test_nothing_is_said_when_all_is_well(tmp_path, warnings):
    runner = make_runner(tmp_path, broken=0)
    runner.train()
    assert runner.test()['bad_videos'] == 0
    assert not warnings and not list((tmp_path / 'work').glob('bad_videos*'))


def test_too_many_stop_the_run_with_the_list(tmp_path, warnings):
    runner = make_runner(tmp_path, broken=3, max_bad=2, max_bad_fraction=0.3)
    with pytest.raises(RuntimeError, match='3 train videos .* more than the 2 allowed') as caught:
        runner.train()
    assert all(f'{number}.mp4: cannot be opened' in str(caught.value) for number in (6, 7, 8))
    assert (tmp_path / 'work' / 'bad_videos_train_rank0.json').exists()


def test_the_larger_limit_holds(tmp_path, warnings):
    make_runner(tmp_path, broken=3, max_bad=0, max_bad_fraction=0.34).train()


def test_limits_are_checked():
    from mmstadapter import BadVideoHook

    with pytest.raises(ValueError, match='max_bad must be at least 0'):
        BadVideoHook(max_bad=-1)


class TestFoldersThatAreNotThere:
    def refused(self, folder, *parts: str) -> str:
        runner = make_runner(folder, broken=0)
        for part in parts:
            loader = getattr(runner, f'_{part}_dataloader')
            loader['dataset']['data_prefix'] = dict(video=str(folder / 'elsewhere'))
        decoded = []
        runner.register_hook(Decoded(decoded))
        with pytest.raises(FileNotFoundError) as error:
            runner.test() if parts == ('test',) else runner.train()
        assert decoded == []
        return str(error.value)

    def test_that_of_validation_stops_the_run_before_training(self, tmp_path):
        said = self.refused(tmp_path, 'val')
        assert said.startswith('val_dataloader: none of 6 of its 6 videos is there')
        assert 'val_dataloader.dataset.data_prefix' in said

    def test_those_of_training_and_testing_do_too(self, tmp_path):
        assert 'train_dataloader: none' in self.refused(tmp_path / 'a', 'train')
        assert 'test_dataloader: none' in self.refused(tmp_path / 'b', 'test')

    def test_one_video_that_is_missing_is_a_bad_video(self, tmp_path):
        runner = make_runner(tmp_path, broken=1)
        assert runner.val()['bad_videos'] == 1


class Decoded(Hook):
    """Notes every batch that was read."""

    def __init__(self, kept: list) -> None:
        self.kept = kept

    def _before_iter(self, runner, batch_idx, data_batch=None, mode='train') -> None:
        self.kept.append(mode)


def test_labels_without_a_class_of_the_head_are_named_before_training(tmp_path):
    runner = make_runner(tmp_path / 'two', broken=0)
    runner.model.cls_head = torch.nn.Module()
    runner.model.cls_head.num_classes = 2
    with pytest.raises(ValueError, match='has a label 2, and the head has 2 classes, 0 to 1'):
        runner.train()
