"""A folder of videos becomes an adapter file, pictures of its mistakes, and predictions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import dump, load
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import mmstadapter
from mmstadapter.apis import capacity
from mmstadapter.apis.fitting import Fit
from mmstadapter.testing import TINY_ARCH, write_clip_file

pytestmark = pytest.mark.processes

BASE = """
_base_ = 'mmstadapter::stadapter_vit-b_k400.py'
model = dict(
    backbone=dict(
        trunk=dict(_delete_=True, type='mmstadapter.CLIPViT', arch=dict({arch})),
        bottleneck_dims=8),
    cls_head=dict(in_channels=32))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(step, size=(32, 36) if step['type'].endswith('ShortSide') else 32) if 'size' in step
    else step for step in _base_.train_pipeline]))
val_dataloader = dict(dataset=dict(pipeline=[
    dict(step, size=32) if 'size' in step else step for step in _base_.test_pipeline]))
test_dataloader = val_dataloader
"""


def write_video(path: Path, light: int, frames: int = 24) -> None:
    """A grey picture with a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(frames)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for _ in range(frames):
            image = (light + rng.integers(0, 20, (48, 64, 3))).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())


def command(name: str, *arguments, cwd: Path) -> subprocess.CompletedProcess:
    """A command of the package, from another folder."""
    words = [sys.executable, '-m', 'mmstadapter', name, *map(str, arguments)]
    environment = os.environ | dict(OMP_NUM_THREADS='1')
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope='module')
def user(tmp_path_factory):
    """A user's folder: two classes, one broken and one very short video; weights; a base."""
    folder = tmp_path_factory.mktemp('user')
    for i in range(6):
        write_video(folder / f'mine/day light/{i}.mp4', 180 + i)
        write_video(folder / f'mine/night/{i} $x.mp4', 10 + i)
    write_video(folder / 'mine/night/short.mp4', 30, frames=3)
    broken = folder / 'mine/night/broken.mp4'
    broken.write_bytes((folder / 'mine/day light/0.mp4').read_bytes()[:300])
    write_clip_file(folder / 'clip.safetensors', seed=4)
    arch = ', '.join(f'{key}={value}' for key, value in TINY_ARCH.items())
    (folder / 'base.py').write_text(BASE.format(arch=arch))
    return folder


@pytest.fixture(scope='module')
def fitted(user):
    """What `mmstadapter fit` leaves behind."""
    words = ['mine', '--work-dir', 'out', '--base', 'base.py', '--checkpoint', 'clip.safetensors']
    words += ['--num-workers', 0, '--val-fraction', 0.4, '--epochs', 4, '--batch-size', 4]
    done = command('fit', *words, '--cfg-options', 'optim_wrapper.optimizer.lr=0.02', cwd=user)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (user / 'out/said.txt').write_text(done.stdout)
    return user / 'out'


def predictor(fitted: Path, **options) -> mmstadapter.Predictor:
    return mmstadapter.Predictor(fitted / 'adapter.safetensors', device='cpu', **options)


def with_metadata(fitted: Path, path: Path, **changes) -> Path:
    """The adapter file with other metadata."""
    source = fitted / 'adapter.safetensors'
    with safe_open(source, 'pt') as file:
        header = file.metadata()
    save_file(load_file(source), path, header | {k: json.dumps(v) for k, v in changes.items()})
    return path


def stored(fitted: Path) -> dict:
    with safe_open(fitted / 'adapter.safetensors', 'pt') as file:
        return json.loads(file.metadata()['config'])


class TestFit:
    def test_the_broken_video_is_listed_shown_and_left_out(self, fitted):
        said = (fitted / 'said.txt').read_text()
        assert '1 cannot be read' in said and 'night/broken.mp4: ' in said
        assert (fitted / 'bad_videos.txt').read_text().startswith('night/broken.mp4\t')
        lists = (fitted / 'train.txt').read_text() + (fitted / 'val.txt').read_text()
        assert 'broken' not in lists and len(lists.splitlines()) == 13

    def test_names_with_spaces_and_dollars_get_through(self, fitted):
        assert (fitted / 'labels.txt').read_text() == 'day light\nnight\n'
        assert 'day light/' in (fitted / 'val.txt').read_text()

    def test_the_freeze_report_is_shown(self, fitted):
        assert 'tuned parameters: 1,818' in (fitted / 'said.txt').read_text()

    def test_it_learns_to_tell_light_from_dark(self, fitted):
        result = json.loads((fitted / 'confusion.json').read_text())
        assert result['top1'] == 100
        assert result['counts'] == [[2, 0], [0, 3]]
        assert json.loads((fitted / 'mistakes.json').read_text()) == []

    def test_the_confusion_matrix_is_a_picture(self, fitted):
        assert (fitted / 'confusion.png').read_bytes().startswith(b'\x89PNG')

    def test_the_config_is_small_and_whole(self, fitted):
        config = Config.fromfile(fitted / 'recipe.py')
        assert len((fitted / 'recipe.py').read_text().splitlines()) < 80
        assert 'recipe.py --cfg-options optim_wrapper.optimizer.lr=0.02' in config.text
        assert config.model.cls_head.num_classes == 2
        assert config.train_dataloader.dataset.pipeline[1].type == 'mmstadapter.SampleSegments'

    def test_the_adapter_file_holds_the_labels_and_no_trunk(self, fitted):
        tensors, header = mmstadapter.engine.tuned_checkpoint.read_adapter(
            fitted / 'adapter.safetensors'
        )
        assert header['labels'] == ['day light', 'night']
        assert [k for k in tensors if 'trunk' in k] == ['backbone.trunk.fingerprint']
        best = sorted(s['pred_score'].max().item() for s in load(fitted / 'predictions.pkl'))
        threshold = dict(below=pytest.approx(best[0]), fraction=0.05, clips=5)
        assert header['none_of_these'] == threshold  # 5 % of 5 clips are none

    def test_beside_a_test_set_the_validation_set_says_what_is_none(self, user, tmp_path):
        for part in ('train', 'val', 'test'):
            for label in ('day light', 'night'):
                for video in sorted((user / 'mine' / label).glob('[0-3]*.mp4')):
                    target = tmp_path / 'mine' / part / label / f'{part} {video.name}'
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(video, target)
        fit = Fit.prepare(
            tmp_path / 'mine', tmp_path / 'out', base=str(user / 'base.py'), mirror=False
        )
        commands = fit.commands()
        assert list(commands) == ['train', 'validate', 'test']
        validate, test = (commands[name][commands[name].index('test') + 1 :] for name in
                          ('validate', 'test'))  # fmt: skip
        lists = [Config.fromfile(x[0]).test_dataloader.dataset.ann_file for x in (validate, test)]
        assert [Path(x).name for x in lists] == ['val.txt', 'test.txt']
        dumped = [x[x.index('--dump') + 1] for x in (validate, test)]
        for file, best in zip(dumped, (0.7, 0.9), strict=True):
            dump(
                [dict(pred_score=torch.tensor([1 - best, best]), gt_label=torch.tensor([1]))], file
            )
        assert fit.threshold() == dict(below=pytest.approx(0.7), fraction=0.05, clips=1)

    def test_a_small_memory_takes_fewer_clips_and_the_config_says_so(
        self, user, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(capacity, 'usable_memory', lambda device: 1e6)
        fit = Fit.prepare(user / 'mine', tmp_path, base=str(user / 'base.py'), mirror=False)
        config = fit.config()
        step = config.model.backbone.recompute
        assert step in ('attention', 'block') and config.train_dataloader.batch_size < 4
        assert fit.recipe.batch_size == config.auto_scale_lr.base_batch_size < 4
        assert any(f'with recompute={step!r}' in reason for reason in fit.recipe.reasons)

    def test_a_work_dir_with_another_training_is_not_overwritten(self, user, fitted):
        before = (fitted / 'recipe.py').read_text()
        with pytest.raises(ValueError, match='holds a training on other videos or with other'):
            Fit.prepare(user / 'mine', fitted, base=str(user / 'base.py'), epochs=3)
        assert (fitted / 'recipe.py').read_text() == before

    def test_a_dry_run_writes_the_config_and_says_the_commands(self, user):
        words = ('mine', '--base', 'base.py', '--dry-run')
        done = command('fit', *words, cwd=user)
        assert done.returncode == 0, done.stderr
        assert '-m mmstadapter train' in done.stdout and 'predictions.pkl' in done.stdout
        assert (user / 'work_dirs/fit_mine/recipe.py').is_file()
        assert not (user / 'work_dirs/fit_mine/training').exists()

    def test_a_threshold_is_that_of_the_validation_set_where_another_is_tested(
        self, user, tmp_path
    ):
        for number, part in enumerate(('train', 'val', 'test')):
            for name in ('day light', 'night'):
                write = tmp_path / f'mine/{part}/{name}/{number}.mp4'
                write.parent.mkdir(parents=True)
                write.write_bytes((user / f'mine/day light/{number}.mp4').read_bytes())
        fit = Fit.prepare(tmp_path / 'mine', tmp_path / 'a, b', base=str(user / 'base.py'))
        commands = fit.commands()
        assert list(commands) == ['train', 'validate', 'test']
        lists = {}
        for name in ('validate', 'test'):
            config = Config.fromfile(next(word for word in commands[name] if word.endswith('.py')))
            lists[name] = Path(config.test_dataloader.dataset.ann_file).name
            assert config.test_dataloader.dataset.pipeline == fit.config().test_pipeline
        assert lists == dict(validate='val.txt', test='test.txt')
        dump(
            [dict(pred_score=torch.tensor(s), gt_label=torch.tensor([0])) for s in ([0.9, 0.1],)],
            commands['validate'][commands['validate'].index('--dump') + 1],
        )
        assert fit.threshold()['below'] == pytest.approx(0.9)

    def test_a_frame_count_that_disagrees_is_named(self, user, tmp_path):
        options = ['test_dataloader.dataset.pipeline.1.clip_len=4']
        with pytest.raises(ValueError, match='train_dataloader: 8, .*test_dataloader: 4'):
            Fit.prepare(user / 'mine', tmp_path, base=str(user / 'base.py'), options=options)

    def test_another_number_of_classes_is_named(self, user, tmp_path):
        options = ['model.cls_head.num_classes=9']
        with pytest.raises(ValueError, match='2 classes, but model.cls_head.num_classes is 9'):
            Fit.prepare(user / 'mine', tmp_path, base=str(user / 'base.py'), options=options)

    @pytest.mark.parametrize('every_frame', [False, True])
    def test_the_check_finds_lengths_and_the_broken_video(self, user, every_frame):
        folder = mmstadapter.VideoFolder(user / 'mine')
        bad = folder.check(every_frame)
        assert [video.path for video in bad] == ['night/broken.mp4']
        assert {video.frames for video in folder.parts['']} == {24, 3}
        assert {video.fps for video in folder.parts['']} == {24}


class TestFitInPython:
    """`mmstadapter.fit` with the options of the command."""

    def test_it_knows_what_the_command_has_done(self, user, fitted, monkeypatch, capsys):
        monkeypatch.chdir(user)
        numbers = dict(num_workers=0, val_fraction=0.4, epochs=4, batch_size=4)
        files = dict(base=Path('base.py'), checkpoint=Path('clip.safetensors'))
        options = {'optim_wrapper.optimizer.lr': 0.02}
        found = mmstadapter.fit('mine', 'out', **files, **numbers, options=options)
        assert 'Already done' in capsys.readouterr().out
        assert (found.adapter, found.top1) == (fitted / 'adapter.safetensors', 100)
        assert found.result['counts'] == [[2, 0], [0, 3]]
        assert 'top-1 100.0 % of 5 videos' in str(found)

    def test_a_dry_run_trains_nothing(self, user, tmp_path, capsys):
        found = mmstadapter.fit(
            user / 'mine', tmp_path / 'dry', base=user / 'base.py', mirror=False, dry_run=True
        )
        assert found is None and (tmp_path / 'dry/recipe.py').is_file()
        assert 'chance: ' in capsys.readouterr().out
        assert not (tmp_path / 'dry/training').exists()

    def test_it_gives_what_the_test_found_and_notes_that_it_is_done(
        self, user, tmp_path, monkeypatch, capsys
    ):
        result = dict(top1=75.0, top1_interval=[40, 90], chance=50.0, videos=4)
        runs = []

        def run(job: Fit) -> dict:
            runs.append(job)
            for name in ('adapter.safetensors', 'confusion.png', 'mistakes.html'):
                (job.work_dir / name).touch()
            return result

        monkeypatch.setattr(Fit, 'run', run)
        options = dict(base=str(user / 'base.py'), mirror=False, epochs=3)
        found = mmstadapter.fit(user / 'mine', tmp_path / 'py', **options)
        assert found.result == result and found.adapter == tmp_path / 'py/adapter.safetensors'
        assert mmstadapter.fit(user / 'mine', tmp_path / 'py', **options) == found
        assert len(runs) == 1


class TestPredict:
    def test_names_and_scores_come_best_first(self, user, fitted):
        files = [user / 'mine/day light/1.mp4', user / 'mine/night/1 $x.mp4']
        found = predictor(fitted)(files)
        assert [entry['labels'][0] for entry in found] == ['day light', 'night']
        assert [entry['video'] for entry in found] == [str(file) for file in files]
        for entry in found:
            assert entry['scores'] == sorted(entry['scores'], reverse=True)
            assert sum(entry['scores']) == pytest.approx(1, abs=1e-5)

    def test_it_gives_the_scores_of_the_test(self, fitted, user):
        lines = (fitted / 'val.txt').read_text().splitlines()
        files = [user / 'mine' / line.split('\t')[0] for line in lines]
        expected = [s['pred_score'].max().item() for s in load(fitted / 'predictions.pkl')]
        found = predictor(fitted)(files, topk=1)
        # The test loop's autocast is bfloat16 on a CPU; prediction takes float32 there.
        assert [e['scores'][0] for e in found] == pytest.approx(expected, abs=5e-3)

    def test_a_bad_video_is_reported_in_its_place(self, user, fitted):
        good = user / 'mine/night/2 $x.mp4'
        found = predictor(fitted)([good, user / 'mine/night/broken.mp4', user / 'none.mp4', good])
        assert ['error' in entry for entry in found] == [False, True, True, False]
        assert found[1]['labels'] == [] and found[1]['error']
        assert found[0] == found[3]

    def test_features_are_those_the_classifier_reads(self, user, fitted):
        model = predictor(fitted)
        bad, good = model.embed([user / 'mine/night/broken.mp4', user / 'mine/night/2 $x.mp4'])
        assert set(bad) == {'video', 'error'} and set(good) == {'video', 'feature'}
        assert good['feature'].shape == (model.model.backbone.trunk.embed_dims,)
        # Short videos give one view, so its scores are those of the mean feature.
        scores = model.model.cls_head.fc_cls(good['feature']).softmax(-1)
        (found,) = model(user / 'mine/night/2 $x.mp4')
        assert scores.max().item() == pytest.approx(found['scores'][0], abs=1e-5)

    def test_a_video_shorter_than_the_clip_works(self, user, fitted):
        (found,) = predictor(fitted)(user / 'mine/night/short.mp4', topk=1)
        assert found['labels'] == ['night']

    def test_the_batch_does_not_matter(self, user, fitted):
        one, three = (predictor(fitted, batch_size=size)(user / 'mine') for size in (1, 3))
        assert [e['video'] for e in one] == [e['video'] for e in three]
        assert [e['labels'] for e in one] == [e['labels'] for e in three]
        for a, b in zip(one, three, strict=True):
            assert a['scores'] == pytest.approx(b['scores'], abs=1e-5)

    def test_the_command_writes_json(self, user, fitted):
        words = ('out/adapter.safetensors', 'mine', '--json', 'new/found.json', '--topk', 1)
        done = command('predict', *words, cwd=user)
        assert done.returncode == 0, done.stderr
        assert 'mine/day light/0.mp4: day light' in done.stdout
        found = json.loads((user / 'new/found.json').read_text())
        assert len(found) == 14 and sum('error' in entry for entry in found) == 1
        assert all(len(entry['labels']) == 1 for entry in found if 'error' not in entry)

    def test_the_command_prints_json_alone(self, user):
        words = ('out/adapter.safetensors', 'mine/night/broken.mp4', '--json', '-')
        done = command('predict', *words, cwd=user)
        assert done.returncode == 1  # none of the videos could be decoded
        (entry,) = json.loads(done.stdout)
        assert entry['video'] == 'mine/night/broken.mp4' and entry['error']

    def test_another_trunk_is_refused(self, fitted, tmp_path):
        other = write_clip_file(tmp_path / 'other.safetensors', seed=5)
        with pytest.raises(RuntimeError, match='trained on another trunk.*checkpoint='):
            predictor(fitted, checkpoint=other)

    def test_a_trunk_of_another_size_is_refused(self, fitted, tmp_path):
        wide = write_clip_file(tmp_path / 'wide.safetensors', TINY_ARCH | dict(embed_dims=48))
        with pytest.raises(RuntimeError, match=r'other sizes than the model.*\(48'):
            predictor(fitted, checkpoint=wide)

    def test_a_trunk_that_is_not_there_is_asked_for(self, fitted, tmp_path):
        with pytest.raises(FileNotFoundError, match='gone.safetensors.*--checkpoint'):
            predictor(fitted, checkpoint=str(tmp_path / 'gone.safetensors'))

    def test_a_moved_trunk_of_the_same_values_is_taken(self, user, fitted, tmp_path):
        moved = shutil.copy(user / 'clip.safetensors', tmp_path / 'moved.safetensors')
        assert predictor(fitted, checkpoint=moved)(user / 'mine/night/short.mp4')[0]['labels']

    def test_other_files_are_refused(self, user, tmp_path):
        with pytest.raises(ValueError, match='not an adapter file'):
            mmstadapter.Predictor(user / 'clip.safetensors')
        with pytest.raises(ValueError, match='mmstadapter publish'):
            mmstadapter.Predictor(user / 'base.py')
        with pytest.raises(FileNotFoundError, match='no adapter file'):
            mmstadapter.Predictor(tmp_path / 'none.safetensors')

    def test_names_for_another_number_of_classes_are_refused(self, fitted, tmp_path):
        path = with_metadata(fitted, tmp_path / 'a.safetensors', labels=['day'])
        with pytest.raises(ValueError, match='1 label names for 2 classes'):
            mmstadapter.Predictor(path)

    @pytest.mark.parametrize('name', ['os.system', 'torch.load', 'mmstadapter.apis.Predictor'])
    @pytest.mark.parametrize('where', ['model', 'pipeline'])
    def test_a_type_that_is_not_registered_is_never_followed(self, fitted, tmp_path, name, where):
        config = stored(fitted)
        if where == 'model':
            config['model']['cls_head']['loss_cls'] = dict(type=name, command='false')
        else:
            config['test_dataloader']['dataset']['pipeline'][0] = dict(type=name)
        path = with_metadata(fitted, tmp_path / 'a.safetensors', config=config)
        with pytest.raises(ValueError, match='no registered'):
            mmstadapter.Predictor(path)

    def test_a_scope_that_is_not_known_is_never_imported(self, fitted, tmp_path):
        config = stored(fitted)
        config['model']['backbone']['_scope_'] = 'antigravity'
        path = with_metadata(fitted, tmp_path / 'a.safetensors', config=config)
        with pytest.raises(ValueError, match="_scope_ is 'antigravity'"):
            mmstadapter.Predictor(path)
        assert 'antigravity' not in sys.modules

    def test_a_config_that_would_load_other_files_is_refused(self, fitted, tmp_path):
        config = stored(fitted)
        config['model']['cls_head']['init_cfg'] = dict(type='Pretrained', checkpoint='x.pth')
        path = with_metadata(fitted, tmp_path / 'a.safetensors', config=config)
        with pytest.raises(ValueError, match='would load other files'):
            mmstadapter.Predictor(path)

    def test_nothing_is_left_in_training_mode(self, fitted):
        model = predictor(fitted).model
        assert not any(module.training for module in model.modules())
        assert all(torch.isfinite(p).all() for p in model.parameters())
