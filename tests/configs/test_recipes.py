"""The recipes are the paper's and the released ones, number by number (Table 6, appendix)."""

import argparse

import pytest
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from mmstadapter import TunedOptimWrapperConstructor, launch, shipped
from mmstadapter.engine.tuned_checkpoint import write_adapter
from mmstadapter.testing import fill, tiny_trunk, write_clip_file

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
STEMS = [name.removesuffix('.py') for name in shipped.configs()]
KINDS = ('stadapter_vit-b', 'stadapter_vit-l')  # with CLIP, of the two sizes of the paper
LABELLED = ('k400', 'ssv2', 'ucf101', 'hmdb51')
RECIPES = [s for s in STEMS if s.startswith(KINDS) and {*LABELLED} & {*s.split('_')}]
SMALL = [stem for stem in RECIPES if stem.endswith(('ucf101', 'hmdb51'))]


def recipe(stem: str) -> Config:
    return Config.fromfile(shipped.config(f'{stem}.py'))


def steps(config: Config, loader: str) -> dict[str, dict]:
    return {s.type.removeprefix('mmstadapter.'): s for s in config[loader].dataset.pipeline}


def of(*parts: str) -> list[str]:
    return [stem for stem in RECIPES if all(part in stem for part in parts)]


def test_the_lists_hold_what_the_paper_has():
    assert len(RECIPES) == 23
    assert len(of('k400')) == 9 and len(of('ssv2')) == 8 and len(SMALL) == 6


@pytest.mark.sweep
class TestFrames:
    @pytest.mark.parametrize('stem', of('k400'))
    def test_a_kinetics_clip_covers_128_frames_of_the_video(self, stem):
        for loader in LOADERS:
            step = steps(recipe(stem), loader)['SampleStride']
            assert step.clip_len * step.frame_interval == 128

    @pytest.mark.parametrize('stem', of('ssv2'))
    def test_something_something_is_covered_evenly(self, stem):
        for loader in LOADERS:
            assert 'SampleSegments' in steps(recipe(stem), loader)

    @pytest.mark.parametrize('stem', SMALL)
    def test_the_small_data_sets_have_a_stride_of_8(self, stem):
        for loader in LOADERS:
            assert steps(recipe(stem), loader)['SampleStride'].frame_interval == 8


@pytest.mark.sweep
class TestViews:
    @pytest.mark.parametrize('stem', RECIPES)
    def test_clips_and_squares_of_a_video(self, stem):
        test = steps(recipe(stem), 'test_dataloader')
        clips = test.get('SampleStride', {}).get('num_views', 1)
        expected = {'k400': (3, 1), 'ssv2': (1, 3)}.get(stem.split('_')[2], (2, 3))
        assert (clips, test['SpatialViews'].num_crops) == expected

    @pytest.mark.parametrize('stem', RECIPES)
    def test_only_something_something_is_not_mirrored_and_is_augmented(self, stem):
        train = steps(recipe(stem), 'train_dataloader')
        assert ('Flip' in train) == ('ssv2' not in stem)
        assert ('RandAugment' in train) == ('ssv2' in stem)

    @pytest.mark.parametrize('stem', RECIPES)
    def test_squares_have_the_size_of_the_trunk(self, stem):
        size = 336 if 'l336' in stem else 224
        assert recipe(stem).model.backbone.trunk.arch.endswith('336') == (size == 336)
        for loader in LOADERS:
            sizes = [s.size for s in steps(recipe(stem), loader).values() if 'size' in s]
            assert sizes[-1] == size


@pytest.mark.sweep
class TestSchedules:
    @pytest.mark.parametrize(
        ('stem', 'number'),
        [
            ('stadapter_vit-b-paper_k400', 20_000),
            ('stadapter_vit-l_k400', 40_000),
            ('stadapter_vit-l_k400_32f', 40_000),
            ('stadapter_vit-l-paper_k400', 40_000),
            ('stadapter_vit-b-paper_ssv2', 50_000),
            ('stadapter_vit-l_ssv2', 50_000),
            ('stadapter_vit-l-paper_ssv2', 50_000),
            *((stem, 500) for stem in SMALL),
        ],
    )
    def test_the_papers_steps(self, stem, number):
        config = recipe(stem)
        assert config.train_cfg == dict(
            type='mmstadapter.StepTrainLoop', max_steps=number, val_interval=5
        )
        (schedule,) = config.param_scheduler
        warmup = number // 25 if 'ssv2' in stem else round(number / 6)
        assert (schedule.warmup, schedule.by_epoch) == (warmup, False)
        optimizer = config.optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (5e-4, 1e-2)
        assert config.auto_scale_lr.base_batch_size == 128

    @pytest.mark.parametrize('stem', RECIPES)
    def test_the_gpus_of_the_header_give_the_batch_of_the_rate(self, stem):
        config, text = recipe(stem), shipped.config(f'{stem}.py').read_text()
        if '--gpus' in text:
            gpus = int(text.split('--gpus ')[1].split()[0])
            assert gpus * config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size

    @pytest.mark.parametrize('stem', of('-paper'))
    def test_the_papers_adapter_has_an_activation_and_precedes_attention(self, stem):
        backbone = recipe(stem).model.backbone
        assert backbone.activation == 'gelu'
        assert backbone.positions[0] == 'before_attn'
        assert len(backbone.positions) == 1 + (stem == 'stadapter_vit-b-paper_ssv2')

    @pytest.mark.parametrize('stem', [s for s in RECIPES if '-paper' not in s])
    def test_the_others_have_the_released_form(self, stem):
        backbone = recipe(stem).model.backbone
        two = stem.startswith('stadapter_vit-b_ssv2')
        assert backbone.positions == (('before_attn',) if two else ()) + ('after_attn',)
        assert 'activation' not in backbone
        assert (backbone.bottleneck_dims, backbone.kernel_size) == (384, (3, 1, 1))


@pytest.mark.parametrize('stem', SMALL)
@pytest.mark.sweep
class TestSmallDataSets:
    def test_one_field_chooses_the_split(self, stem):
        data, folders = stem.split('_')[2], []
        for split in (1, 2, 3):
            words = ['--cfg-options', f'split={split}'] if split > 1 else []
            config = read(f'{stem}.py', *words)
            files = [config[loader].dataset.ann_file for loader in LOADERS]
            stub = f'data/{data}/{data}_{{}}_split_{split}_videos.txt'
            assert files == [stub.format(part) for part in ('train', 'val', 'val')]
            folders.append(config.work_dir)
        assert len(set(folders)) == 3

    def test_a_split_that_nobody_chose_is_an_error(self, stem):
        with pytest.raises(FileNotFoundError, match='choose_split'):
            DATASETS.build(recipe(stem).test_dataloader.dataset)

    def test_adapters_learn_and_decay_at_a_tenth(self, stem):
        config = recipe(stem)
        config.model.backbone.trunk = tiny_trunk()
        config.model.cls_head.in_channels = 32
        settings = dict(config.optim_wrapper, type='OptimWrapper')
        settings.pop('constructor')
        build = TunedOptimWrapperConstructor(settings, settings.pop('paramwise_cfg'))
        model = MODELS.build(config.model)
        groups = build(model).param_groups
        rates = {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                share = 0.1 if name.startswith('backbone') else 1.0
                decay = 0.0 if name.endswith('bias') else 1e-2 * share
                assert rates[id(parameter)] == pytest.approx((5e-4 * share, decay)), name

    def test_it_starts_from_the_kinetics_recipe_of_its_trunk(self, stem):
        kinetics = stem.replace(stem.split('_')[2], 'k400')
        assert kinetics in STEMS
        config, other = recipe(stem), recipe(kinetics)
        assert config.load_from == f'work_dirs/{kinetics}.safetensors'
        assert config.model.backbone == other.model.backbone
        assert config.model.cls_head.num_classes == (101 if 'ucf101' in stem else 51)


def test_adapters_are_taken_over_and_the_classifier_starts_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = recipe('stadapter_vit-b_ucf101')
    trunk = tiny_trunk(checkpoint=write_clip_file('clip.safetensors'))
    config.model.backbone.update(trunk=trunk, bottleneck_dims=8)
    config.model.cls_head.update(in_channels=32, num_classes=400)
    old = MODELS.build(config.model)
    old.init_weights()
    fill(old.backbone.after_attn)
    write_adapter('k400.safetensors', old, config)

    config.model.cls_head.num_classes = 101
    new = MODELS.build(config.model)
    runner = Runner(new, 'work', default_scope='mmaction')
    new.init_weights()
    fresh = new.cls_head.fc_cls.weight.clone()
    runner.load_checkpoint('k400.safetensors')  # as training does with load_from
    for name, tensor in new.backbone.state_dict().items():
        assert tensor.equal(old.backbone.state_dict()[name]), name
    assert new.cls_head.fc_cls.weight.equal(fresh)


def read(*words: str) -> Config:
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    parser.add_argument('--cfg-options', nargs='+')
    parser.set_defaults(launcher='none', work_dir=None)
    return launch.read_config(parser.parse_args(words))
