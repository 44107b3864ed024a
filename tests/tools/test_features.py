"""Features of a frozen trunk, kept on disk: a training on them is the training on the clips."""

import copy
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from safetensors.torch import load_file, save_file

from mmstadapter.apis import features, writing
from mmstadapter.apis.building import build_model
from mmstadapter.apis.estimate import Estimate, estimate_of
from mmstadapter.apis.feature_clips import Keeping, seeded
from mmstadapter.apis.features import FeaturePlan, refuse_unfit
from mmstadapter.apis.fitting import Fit
from mmstadapter.commands import fit
from mmstadapter.datasets import feature_cache
from mmstadapter.datasets.clip_cache import header_of
from mmstadapter.datasets.feature_cache import AGAIN, FORMAT, ReadFeatures
from mmstadapter.datasets.opening import VideoReadError
from mmstadapter.launch import build_runner
from mmstadapter.models import CLIPViT
from mmstadapter.testing import (
    TINY_ARCH,
    tiny_retriever,
    tiny_trunk,
    write_clip_file,
    write_noise_video,
)

SIDE = dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8, frames_per_pass=2)
METHODS = dict(
    side4video=SIDE,
    linear=dict(type='mmstadapter.FrameMeanViT'),
    probe=dict(type='mmstadapter.ProbeViT', depth=1, num_heads=2),
    attnpool=dict(type='mmstadapter.AttnPoolViT', num_heads=2),
    top=dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8, blocks='last_1'),
)
WIDTHS = dict(side4video=16)
VIDEOS = 5
MERGED = ['--cfg-options', 'randomness.seed=7']
KEEPING = Keeping(Path('kept'), 2, True)  # in the folder where a test runs


@pytest.fixture(scope='module')
def material(tmp_path_factory):
    """Small videos, the last cut off in the middle, and a trunk's weights."""
    folder = tmp_path_factory.mktemp('material')
    for i in range(VIDEOS):
        write_noise_video(folder / f'{i}.mp4', 8 + i)
    whole = (folder / '0.mp4').read_bytes()
    (folder / 'cut.mp4').write_bytes(whole[: len(whole) // 2])
    write_clip_file(folder / 'clip.safetensors', seed=4)
    return folder


@pytest.fixture
def place(material, tmp_path, monkeypatch):
    """A copy of it, in which the test runs."""
    plain = property(lambda self: '\n'.join(f'{k} = {v!r}' for k, v in self.to_dict().items()))
    monkeypatch.setattr(Config, 'pretty_text', plain)  # MMEngine's layout takes seconds
    monkeypatch.setattr(features, 'estimate_of', lambda *_: Estimate('a machine', 60, 1, 1))
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pipeline(test_mode: bool) -> list[dict]:
    """2 frames of 32 pixels; in training cropped at random and mirrored."""
    sample = dict(type='mmstadapter.SampleSegments', clip_len=2)
    steps = [dict(type='mmstadapter.VideoInit'), sample | dict(test_mode=test_mode)]
    steps += [dict(type='mmstadapter.VideoDecode')]
    if test_mode:
        steps += [dict(type='mmstadapter.ResizeShortSide', size=32, pixels='uint8')]
        steps += [dict(type='mmstadapter.SpatialViews', size=32, num_crops=3)]
    else:
        steps += [dict(type='mmstadapter.RandomResizedSquare', size=32, pixels='uint8')]
        steps += [dict(type='Flip', flip_ratio=0.5)]
    return [*steps, dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]


def config_of(place: Path, method: str = 'side4video', names: list[str] | None = None, **changes):
    """The config of a training on the videos, float32."""
    names = names or [f'{i}.mp4' for i in range(VIDEOS)]
    (place / 'list.txt').write_text(''.join(f'{name} {i % 2}\n' for i, name in enumerate(names)))

    def loader(test_mode: bool) -> dict:
        dataset = dict(
            type='mmstadapter.VideoDataset', ann_file='list.txt', num_classes=2,
            data_prefix=dict(video=str(place)), pipeline=pipeline(test_mode), test_mode=test_mode,
        )  # fmt: skip
        sampler = dict(type='DefaultSampler', shuffle=not test_mode)
        return dict(batch_size=2, num_workers=0, dataset=dataset, sampler=sampler)

    pixels = dict(mean=[120.0] * 3, std=[60.0] * 3, format_shape='NCTHW')
    model = dict(
        type='Recognizer3D',
        data_preprocessor=dict(type='ActionDataPreprocessor', **pixels),
        backbone=METHODS[method] | dict(trunk=tiny_trunk(checkpoint='clip.safetensors')),
        cls_head=dict(
            type='mmstadapter.VideoHead', in_channels=WIDTHS.get(method, 32), num_classes=2,
            topk=(1,),
        ),
    )  # fmt: skip
    return Config(
        dict(
            default_scope='mmaction',
            work_dir='work',
            model=model,
            train_dataloader=loader(False),
            val_dataloader=loader(True),
            test_dataloader=loader(True),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1),
            val_cfg=dict(),
            test_cfg=dict(),
            val_evaluator=dict(type='AccMetric'),
            test_evaluator=dict(type='AccMetric'),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01)),
            custom_hooks=[
                dict(type=f'mmstadapter.{name}')
                for name in ('TunedCheckpointHook', 'EpochSeedHook', 'BadVideoHook')
            ],
            randomness=dict(seed=0),
            experiment_name='kept',
        )
        | changes
    )


def kept(config: Config, folder: str = 'kept', copies: int = 2, exact: bool = True) -> FeaturePlan:
    """The plan of a training, whose features have been kept."""
    plan = FeaturePlan(config, Keeping(Path(folder), copies, exact))
    plan.fill()
    return plan


def on_kept(plan: FeaturePlan) -> Config:
    """The config of the training on what a plan has kept."""
    config = copy.deepcopy(plan.given)
    config.merge_from_dict(plan.changes())
    return config


def train(config: Config, work_dir: str) -> dict:
    """Train an epoch and validate; the checkpoint."""
    config.work_dir = work_dir
    build_runner(config).train()
    return torch.load(f'{work_dir}/epoch_1.pth', weights_only=False)


def without_features(monkeypatch) -> None:
    """Let the trained model see the very clips, and none of their features."""
    whole = ReadFeatures.transform

    def transform(self, results):
        sample = whole(self, results)
        del sample['features']
        return sample

    monkeypatch.setattr(ReadFeatures, 'transform', transform)


def read(config: Config, name: str, seed: int = 0, **changes) -> dict:
    """A sample of a video as training reads it."""
    random.seed(seed)
    step = TRANSFORMS.build(dict(config.train_dataloader.dataset.pipeline[0]) | changes)
    return step.transform(dict(filename=str(Path.cwd() / name), label=0))


def found(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob('*') if path.is_file()]


def looks_at(monkeypatch) -> list[int]:
    """Lists the clips' batches that pass the trunk in training from here on."""
    seen: list[int] = []
    embed = CLIPViT.embed
    monkeypatch.setattr(
        CLIPViT, 'embed', lambda self, x, *args: (seen.append(len(x)), embed(self, x, *args))[1]
    )
    return seen


@pytest.mark.slow
class TestTraining:
    @pytest.mark.parametrize('method', METHODS)
    def test_it_equals_training_on_the_same_clips_to_the_last_bit(self, method, place, monkeypatch):
        config = on_kept(kept(config_of(place, method)))
        config.train_dataloader.batch_size = 1  # so that the trunk multiplies what it then did
        seen = looks_at(monkeypatch)
        on_features = train(config, 'on_features')
        assert not seen or method == 'top'  # what stands behind the kept layers
        without_features(monkeypatch)
        on_clips = train(config, 'on_clips')
        assert seen
        assert on_features['state_dict'].keys() == on_clips['state_dict'].keys()
        for name, tensor in on_clips['state_dict'].items():
            assert torch.equal(on_features['state_dict'][name], tensor), name

    def test_rounded_features_are_those_of_float16(self, place):
        exact, half = (
            on_kept(kept(config_of(place), name, exact=exact))
            for name, exact in (('exact', True), ('half', False))
        )
        for i in range(VIDEOS):
            whole, short = (read(config, f'{i}.mp4', seed=i) for config in (exact, half))
            assert torch.equal(whole['inputs'], short['inputs'])
            both = zip(whole['features']['looked'], short['features']['looked'], strict=True)
            for x, y in both:
                assert y.dtype is torch.float32 and torch.equal(x.half().float(), y)

    def test_the_clips_are_those_that_the_pipeline_makes_with_these_numbers(self, place):
        plan = kept(config_of(place), copies=3)
        path, clips = str(place / '1.mp4'), []
        for number in range(3):
            file = feature_cache.file_of(plan.parts[0].folder, path, number)
            clips.append(load_file(file)['inputs'])
            with seeded(0, 'train', path, number):
                info = dict(filename=path, label=1, start_index=0, modality='RGB')
                assert torch.equal(clips[-1], Compose(pipeline(False))(info)['inputs'])
        assert not torch.equal(clips[0], clips[1]) and not torch.equal(clips[1], clips[2])

    def test_nobody_elses_random_numbers_are_touched(self):
        def draw() -> list:
            return [random.random(), np.random.random(), torch.rand(1).item()]

        for module in (random, np.random):
            module.seed(3)
        torch.manual_seed(3)
        with seeded('a', 1):
            inside = draw()
        after = draw()
        for module in (random, np.random):
            module.seed(3)
        torch.manual_seed(3)
        assert draw() == after != inside
        with seeded('a', 1):
            assert draw() == inside


@pytest.mark.slow
class TestKeeping:
    def test_what_was_interrupted_is_gone_on_with(self, place, monkeypatch):
        plan, look, seen = FeaturePlan(config_of(place), KEEPING), FeaturePlan.look, []
        assert len(plan.todo) == 3 * VIDEOS

        def interrupted(self, *clip):
            if len(seen) == 4:
                raise KeyboardInterrupt
            seen.append(clip[1:])
            return look(self, *clip)

        monkeypatch.setattr(FeaturePlan, 'look', interrupted)
        with pytest.raises(KeyboardInterrupt):
            plan.fill()
        monkeypatch.setattr(FeaturePlan, 'look', look)
        files = {file: file.stat().st_mtime_ns for file in found(place / 'kept')}
        assert len(files) == 4
        plan = FeaturePlan(config_of(place), KEEPING)
        assert len(plan.todo) == 3 * VIDEOS - 4
        plan.fill()
        assert len(found(place / 'kept')) == 3 * VIDEOS
        assert all(file.stat().st_mtime_ns == time for file, time in files.items())
        whole = FeaturePlan(config_of(place), KEEPING)
        assert not whole.todo and 'all are there' in str(whole)

    def test_more_copies_are_added_to_those_that_are_there(self, place):
        kept(config_of(place), copies=1)
        assert len(FeaturePlan(config_of(place), KEEPING).todo) == VIDEOS

    def test_size_and_time_are_said_before_anything_is_written(self, place):
        plan = FeaturePlan(config_of(place), KEEPING)
        assert not (place / 'kept').exists()
        assert 'features of 15 clips (train 5 videos x 2, val 5 videos x 1)' in str(plan)
        plan.fill()
        written = sum(file.stat().st_size for file in found(place / 'kept'))
        assert plan.nbytes == pytest.approx(written, rel=0.1)  # and headers

    @pytest.mark.parametrize('method', METHODS)
    def test_a_trunk_that_is_stored_in_16_bit_is_planned_too(self, method, place):
        config = config_of(place, method)
        config.model.backbone.trunk.dtype = 'float16'
        assert 'features of 15 clips' in str(FeaturePlan(config, KEEPING))

    @pytest.mark.parametrize('method', METHODS)
    def test_a_training_in_16_bit_is_estimated(self, method, place, monkeypatch):
        monkeypatch.setattr(features, 'estimate_of', estimate_of)  # which a test's place leaves out
        half = dict(type='mmstadapter.AmpOptimWrapper', dtype='bfloat16')
        config = config_of(place, method)
        config.optim_wrapper |= half
        assert 'of memory' in str(FeaturePlan(config, KEEPING))

    def test_a_disk_with_too_little_room_is_refused(self, place, monkeypatch):
        monkeypatch.setattr(features, 'free_room', lambda folder: 1000)
        plan = FeaturePlan(config_of(place), KEEPING)
        with pytest.raises(OSError, match='do not fit the 0.00 GB that are free .*--feature-cop'):
            plan.fill()
        assert not (place / 'kept').exists()

    @pytest.mark.parametrize('what', ['trunk', 'seed', 'pipeline', 'backbone', 'precision'])
    def test_features_made_otherwise_are_refused(self, what, place):
        kept(config_of(place))
        config, exact = config_of(place), True
        if what == 'trunk':
            write_clip_file('clip.safetensors', seed=5)
        elif what == 'seed':
            config.randomness.seed = 1
        elif what == 'pipeline':
            config.train_dataloader.dataset.pipeline[4].flip_ratio = 0.1
        elif what == 'backbone':
            config.model.backbone.layers = 'top_1'
        else:
            exact = False
        with pytest.raises(ValueError, match=f'made with another {what}. Give another folder'):
            FeaturePlan(config, Keeping(place / 'kept', 2, exact))

    def test_numbers_that_float16_cannot_hold_are_refused(self):
        with pytest.raises(ValueError, match='Take --exact-features'):
            feature_cache.rounded([torch.tensor([1e5])])


@pytest.mark.slow
class TestReading:
    def test_a_broken_video_is_treated_as_without_features(self, place):
        config = config_of(place, names=['0.mp4', 'cut.mp4'])
        uncached = DATASETS.build(config.train_dataloader.dataset)[1]['data_samples']
        changed = on_kept(kept(config))
        item = DATASETS.build(changed.train_dataloader.dataset)[1]
        assert item['data_samples'].bad_videos == uncached.bad_videos
        assert item['data_samples'].gt_label.item() == uncached.gt_label.item() == 0
        judged = DATASETS.build(changed.val_dataloader.dataset)[1]['data_samples']
        assert judged.lost_label == 1 and judged.gt_label.item() == -1
        train(changed, 'work')
        assert 'cut.mp4' in (place / 'work/bad_videos_train_rank0.json').read_text()

    def test_a_video_that_is_gone(self, place):
        config = on_kept(kept(config_of(place)))
        os.unlink('0.mp4')
        with pytest.raises(VideoReadError, match='no such file'):
            read(config, '0.mp4')
        assert [clip[1] for clip in FeaturePlan(config_of(place), KEEPING).todo] == [0, 0, 0]

    def test_a_video_that_changed(self, place):
        config = on_kept(kept(config_of(place)))
        shutil.copy('1.mp4', '0.mp4')
        with pytest.raises(ValueError, match='changed. Run `mmstadapter fit`'):
            read(config, '0.mp4')
        FeaturePlan(config_of(place), KEEPING).fill()
        read(config, '0.mp4')

    def test_features_that_are_not_there_or_made_otherwise(self, place):
        config = on_kept(kept(config_of(place)))
        step = config.train_dataloader.dataset.pipeline[0]
        step.copies = 1
        with pytest.raises(ValueError, match='changed'):
            read(config, '0.mp4', made='0')
        os.unlink(feature_cache.file_of(step.folder, str(place / '0.mp4'), 0))
        with pytest.raises(ValueError, match='has no features in .*kept/train'):
            read(config, '0.mp4')

    @pytest.mark.parametrize('name', ['inputs', 'looked.1'])
    def test_features_that_are_not_what_was_kept(self, name, place):
        config = on_kept(kept(config_of(place), copies=1))
        folder = config.train_dataloader.dataset.pipeline[0].folder
        file = feature_cache.file_of(folder, str(place / '0.mp4'), 0)
        tensors, header = load_file(file), header_of(file, FORMAT, AGAIN)
        tensors[name].flatten()[7] += 1
        save_file(tensors, file, header)
        with pytest.raises(ValueError, match=f'{name} is not what was kept. Remove the file'):
            read(config, '0.mp4')

    def test_another_trunk_in_training_is_refused(self, place):
        config = on_kept(kept(config_of(place)))
        write_clip_file('clip.safetensors', seed=5)
        with pytest.raises(ValueError, match='features are of another trunk'):
            train(config, 'work')

    def test_clips_without_features_pass_the_whole_model(self, place):
        config = config_of(place)
        batch = pseudo_collate([DATASETS.build(config.val_dataloader.dataset)[i] for i in (0, 1)])
        scores = []
        for kind in ('Recognizer3D', 'mmstadapter.FeatureRecognizer3D'):
            torch.manual_seed(0)
            model = build_model(config.model | dict(type=kind), pretrained=True)
            with torch.no_grad():
                scores.append(torch.stack([x.pred_score for x in model.test_step(batch)]))
        assert torch.equal(*scores)


class TestRefused:
    @pytest.mark.parametrize(
        ('backbone', 'why'),
        [
            (dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8), 'adapter stands in the fir'),
            (dict(type='mmstadapter.AIMViT', num_frames=2), 'its trunk see whole clips'),
            (dict(type='mmstadapter.PromptViT'), 'trained parameters stand in'),
            (
                dict(type='mmstadapter.FrameMeanViT', trunk=dict(tune='bias')),
                'its trunk is trained',
            ),
            (SIDE | dict(trunk=dict(tune='all')), 'its trunk is trained'),
        ],
        ids=['adapters', 'AIM', 'prompts', 'bias', 'trained trunk'],
    )
    def test_what_changes_with_training(self, backbone, why):
        trunk = tiny_trunk(checkpoint='gone.safetensors', **backbone.get('trunk', {}))
        name = backbone['type'].partition('.')[2]
        with pytest.raises(ValueError, match=f'{name} makes .* {why}.* Take --method side4video'):
            refuse_unfit(dict(cls_head={}, backbone=backbone | dict(trunk=trunk)))

    def test_a_retriever(self):
        with pytest.raises(ValueError, match='is for classifiers'):
            refuse_unfit(tiny_retriever())

    def test_a_random_trunk(self):
        with pytest.raises(ValueError, match='the trunk is random'):
            refuse_unfit(dict(cls_head={}, backbone=SIDE | dict(trunk=tiny_trunk())))

    @pytest.mark.parametrize('more', ['data_preprocessor', 'neck'])
    def test_models_that_mix_clips_or_have_a_neck(self, more):
        trunk = tiny_trunk(checkpoint='gone.safetensors')
        given = dict(type='a', blending=dict(type='MixupBlending'))
        with pytest.raises(ValueError, match=f'Set model.{more}|{more}.blending=None'):
            refuse_unfit({'cls_head': {}, 'backbone': SIDE | dict(trunk=trunk), more: given})

    def test_it_is_said_before_any_video_is_opened(self, tmp_path):
        with pytest.raises(SystemExit, match='STAdapterViT makes .*Take --method side4video'):
            fit.main([str(tmp_path / 'no videos'), '--dry-run', '--cache-features'])

    def test_no_copy_at_all(self, tmp_path):
        with pytest.raises(ValueError, match='--feature-copies must be at least 1, got 0'):
            Keeping(tmp_path, 0)


BASE = """
_base_ = 'mmstadapter::side4video_vit-b_k400.py'
model = dict(
    backbone=dict(
        trunk=dict(_delete_=True, type='mmstadapter.CLIPViT', arch=dict({arch})),
        side_dims=16, head_dims=8),
    cls_head=dict(in_channels=16))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(step, size=32) if 'size' in step else step for step in _base_.train_pipeline]))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(step, size=32) if 'size' in step else step for step in _base_.test_pipeline]))
"""


@pytest.mark.slow
def test_fit_keeps_them_and_trains_on_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writing, 'FormatCode', lambda text, style_config: (text, False))
    for i in range(4):
        for name, size in (('wide', (64, 32)), ('high', (32, 64))):
            Path(f'mine/{name}').mkdir(parents=True, exist_ok=True)
            write_noise_video(f'mine/{name}/{i}.mp4', 8 + i, size=size)
    arch = ', '.join(f'{key}={value}' for key, value in TINY_ARCH.items())
    Path('base.py').write_text(BASE.format(arch=arch))
    given = dict(base='base.py', checkpoint=write_clip_file('clip.safetensors'), work_dir='out')
    given |= dict(num_workers=0, epochs=2, batch_size=2, mirror=False, features=True)
    options = ['train_dataloader.dataset.steps.RandomGrey.p=1', 'randomness.seed=7']
    job = Fit.prepare('mine', **given, options=options)
    assert job.expect().startswith('features of 26 clips (train 6 videos x 4, val 2 videos x 1)')
    assert job.commands()['train'][4].endswith('out/recipe.py')
    job.keep_features()
    train, test = job.commands()['train'], job.commands()['test']
    assert train[4].endswith('out/features.py') and train[5:] == ['--resume', *MERGED]
    assert test[4].endswith('out/recipe.py') and test[-1:] == options[-1:]
    config = Config.fromfile('out/features.py')
    assert config.model.type == 'mmstadapter.FeatureRecognizer3D'
    for kind, videos in (('train', 6), ('val', 2)):
        dataset = DATASETS.build(config[f'{kind}_dataloader'].dataset)
        samples = [dataset[i] for i in range(len(dataset))]
        assert len(samples) == videos and all('features' in sample for sample in samples)
        grey = [torch.equal(x['inputs'][:, 0], x['inputs'][:, 2]) for x in samples]
        assert all(grey) == (kind == 'train')
    assert 'all are there' in Fit.prepare('mine', **given, options=options).expect()
    Path('out/training').mkdir()
    Path('out/training/last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(ValueError, match='holds a training .* with other settings'):
        Fit.prepare('mine', **given | dict(feature_copies=3), options=options)
