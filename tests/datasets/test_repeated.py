"""Repeated augmentation: one decoding, several clips, all in one step's loss and batch norm."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import DATASETS, MODELS
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmstadapter import VideoDataset, flat_collate
from mmstadapter.datasets.repeated import check_collate
from mmstadapter.launch import build_runner
from mmstadapter.testing import tiny_trunk

from .conftest import write_video

PULLING, PUSHING, OTHER = 86, 93, 5
MAP = {86: 87, 87: 86, 93: 94, 94: 93}
COLLATE = dict(type='mmstadapter.flat_collate')


class CountDecodings(BaseTransform):
    """Stands before VideoDecode and counts."""

    count = 0

    def transform(self, results: dict) -> dict:
        self.count += 1
        return results


def steps(*augment) -> list:
    return [
        dict(type='mmstadapter.VideoInit'),
        dict(type='mmstadapter.SampleSide4Video', clip_len=4, rule='something'),
        dict(type='mmstadapter.VideoDecode'),
        *augment,
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]


CROP = dict(type='mmstadapter.PILRandomSquare', size=32)
FLIP = dict(type='Flip', flip_ratio=0.5, flip_label_map=MAP)


@pytest.fixture
def folder(tmp_path):
    """Four videos: two of pulling, one of pushing, one of something without sides."""
    for number in range(4):
        write_video(tmp_path / f'{number}.mp4', frames=9 + number, size=(48, 64), noise=9.0)
    labels = (PULLING, PULLING, PUSHING, OTHER)
    (tmp_path / 'list.txt').write_text(''.join(f'{n}.mp4 {k}\n' for n, k in enumerate(labels)))
    return tmp_path


def config(folder, *augment, **options) -> dict:
    made = dict(
        type='mmstadapter.VideoDataset',
        ann_file=str(folder / 'list.txt'),
        data_prefix=dict(video=str(folder)),
        pipeline=steps(*augment),
        num_sample=2,
    )
    return {**made, **options}


def dataset(folder, *augment, **options) -> VideoDataset:
    return DATASETS.build(config(folder, *augment, **options))


class TestItems:
    def test_frames_are_sampled_and_decoded_once(self, folder):
        data = dataset(folder, num_sample=3)
        counter = CountDecodings()
        data.pipeline.transforms.insert(2, counter)
        copies = data[0]
        assert len(copies) == 3 and counter.count == 1
        assert all(torch.equal(copy['inputs'], copies[0]['inputs']) for copy in copies)

    def test_copies_are_augmented_differently(self, folder):
        one, two = dataset(folder, CROP)[0]
        assert one['inputs'].shape == two['inputs'].shape == (1, 3, 4, 32, 32)
        assert not torch.equal(one['inputs'], two['inputs'])

    def test_a_label_is_exchanged_for_the_mirrored_copy_alone(self, folder):
        plain = dataset(folder)
        data = dataset(folder, FLIP)
        for index, left in enumerate((PULLING, PULLING, PUSHING, OTHER)):
            seen = set()
            for seed in range(20):
                np.random.seed(seed)
                inputs = plain[index][0]['inputs']
                np.random.seed(seed)
                for copy in data[index]:
                    mirrored = not torch.equal(copy['inputs'], inputs)
                    expected = inputs.flip(-1) if mirrored else inputs
                    assert torch.equal(copy['inputs'], expected)
                    label = MAP.get(left, left) if mirrored else left
                    assert copy['data_samples'].gt_label.tolist() == [label]
                    seen.add(mirrored)
            assert seen == {True, False}

    def test_a_pair_can_hold_a_video_and_its_mirror_image(self, folder):
        data = dataset(folder, FLIP)
        pairs = {tuple(c['data_samples'].gt_label.item() for c in data[0]) for _ in range(60)}
        assert pairs == {(86, 86), (86, 87), (87, 86), (87, 87)}

    def test_one_copy_is_an_ordinary_sample(self, folder):
        assert set(dataset(folder, num_sample=1)[0]) == {'inputs', 'data_samples'}

    def test_a_broken_video_is_replaced_and_noted_once(self, folder):
        (folder / '0.mp4').write_text('broken')
        one, two = dataset(folder)[0]
        assert [path for path, _ in one['data_samples'].bad_videos] == [str(folder / '0.mp4')]
        assert 'bad_videos' not in two['data_samples']
        assert torch.equal(one['inputs'], two['inputs'])

    @pytest.mark.parametrize('options', [dict(num_sample=0), dict(test_mode=True)])
    def test_wrong_numbers_are_refused(self, folder, options):
        with pytest.raises(ValueError, match='num_sample must be at least 1, and 1 in testing'):
            dataset(folder, **options)

    def test_a_pipeline_that_never_decodes_is_refused(self, folder):
        data = dataset(folder, pipeline=steps()[:2])
        with pytest.raises(ValueError, match='no step of the pipeline adds frames'):
            data[0]


class TestBatches:
    def test_copies_lie_side_by_side(self, folder):
        data = dataset(folder)
        batch = flat_collate([data[0], data[2]])
        assert len(batch['inputs']) == len(batch['data_samples']) == 4
        labels = [sample.gt_label.item() for sample in batch['data_samples']]
        assert labels == [PULLING, PULLING, PUSHING, PUSHING]

    def test_ordinary_samples_pass(self, folder):
        data = dataset(folder, num_sample=1)
        np.random.seed(0)
        ours = flat_collate([data[0], data[2]])
        np.random.seed(0)
        theirs = pseudo_collate([data[0], data[2]])
        assert all(map(torch.equal, ours['inputs'], theirs['inputs']))

    @pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.processes)])
    def test_a_seed_gives_the_same_batches_again(self, folder, workers):
        def batches() -> list[torch.Tensor]:
            torch.manual_seed(3)
            np.random.seed(3)
            random.seed(3)
            loader = dict(
                batch_size=2,
                num_workers=workers,
                sampler=dict(type='DefaultSampler', shuffle=True, seed=1),
                collate_fn=COLLATE,
                worker_init_fn=dict(type='mmstadapter.engine.epoch_seed.seed_worker'),
                dataset=config(folder, CROP, FLIP),
            )
            # a worker's numbers start from PyTorch's
            return [t for batch in Runner.build_dataloader(loader, seed=0) for t in batch['inputs']]

        one, two = batches(), batches()
        assert len(one) == 8 and all(map(torch.equal, one, two))


class TestCheck:
    """``mmstadapter train`` refuses copies that nobody would unpack."""

    @pytest.mark.parametrize('wrapper', [None, 'RepeatDataset', 'ConcatDataset'])
    def test_copies_need_the_collate_function(self, folder, wrapper):
        data = config(folder)
        if wrapper == 'RepeatDataset':
            data = dict(type=wrapper, times=2, dataset=data)
        elif wrapper == 'ConcatDataset':
            data = dict(type=wrapper, datasets=[config(folder, num_sample=1), data])
        loader = dict(dataset=data)
        with pytest.raises(ValueError, match="num_sample=2 .*'mmstadapter.flat_collate'"):
            build_runner(Config(dict(train_dataloader=loader)))
        check_collate(loader | dict(collate_fn=COLLATE))

    @pytest.mark.parametrize('loader', [None, {}, dict(dataset=dict(type='VideoDataset'))])
    def test_nothing_else_does(self, loader):
        check_collate(loader)


class Keep(Hook):
    """Keeps each step's batch, as the loader gives it, and its loss."""

    def __init__(self) -> None:
        self.batches, self.losses = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.batches.append(dict(data_batch))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(outputs['loss'].item())


def model_config() -> dict:
    return dict(
        type='Recognizer3D',
        data_preprocessor=dict(
            type='ActionDataPreprocessor', mean=[120] * 3, std=[60] * 3, format_shape='NCTHW'
        ),
        backbone=dict(
            type='mmstadapter.Side4VideoViT', trunk=tiny_trunk(), side_dims=16, head_dims=8
        ),
        cls_head=dict(
            type='mmstadapter.VideoHead',
            in_channels=16,
            num_classes=174,
            dropout_ratio=0.0,
            label_smooth_eps=0.1,
        ),
    )


class TestTraining:
    @pytest.fixture
    def run(self, folder):
        """Two steps of two videos with two clips each; the runner, and what it saw."""
        kept = Keep()
        model = MODELS.build(model_config())
        before = {key: value.clone() for key, value in model.state_dict().items()}
        runner = Runner(
            model,
            str(folder / 'work'),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=COLLATE,
                dataset=config(folder, CROP, FLIP, num_classes=174),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),  # statistics move all the same
            custom_hooks=[kept],
            default_scope='mmaction',
            experiment_name=folder.name,
        )
        runner.train()
        fresh = MODELS.build(model_config())
        fresh.load_state_dict(before)
        return runner, kept, fresh.train()

    def test_loss_and_batch_norm_see_every_clip(self, run):
        runner, kept, model = run
        assert [len(batch['inputs']) for batch in kept.batches] == [4, 4]
        clips = torch.cat(kept.batches[0]['inputs']).float()  # (4, 3, 4, 32, 32)
        labels = torch.cat([s.gt_label for s in kept.batches[0]['data_samples']])
        features = model.backbone((clips - 120) / 60)
        assert features.shape == (4, 16)
        loss = F.cross_entropy(model.cls_head(features), labels, label_smoothing=0.1)
        assert kept.losses[0] == pytest.approx(loss.item(), rel=1e-5)

    def test_statistics_are_of_all_clips_together(self, run):
        runner, kept, model = run
        for batch in kept.batches:
            model.backbone((torch.cat(batch['inputs']).float() - 120) / 60)
        mixed = model.backbone.side.stem.norm
        trained = runner.model.backbone.side.stem.norm
        assert trained.num_batches_tracked == 2
        torch.testing.assert_close(trained.running_mean, mixed.running_mean, rtol=1e-5, atol=1e-6)


def test_the_toy_config_survives_writing_and_reading(folder):
    """The runner writes its config; whole numbers as keys must stay whole numbers."""
    text = Config(dict(train=config(folder, CROP, FLIP))).pretty_text
    read = Config.fromstring(text, '.py')
    assert read.train.pipeline[4].flip_label_map == MAP
