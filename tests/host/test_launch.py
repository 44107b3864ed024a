"""What the command line writes into a config, and how processes find each other on CPUs."""

import argparse
import json
from importlib import import_module

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import save_file

from mmstadapter import host, launch, shipped
from mmstadapter_cli import main

from ..datasets.conftest import write_video


def arguments(command: str, *words: str) -> tuple[Config, argparse.Namespace]:
    """The config after a command has applied its options, without starting anything."""
    module = import_module(f'mmstadapter.commands.{command}')
    args = module.parse_args(['stadapter_vit-b_k400.py', *words])
    cfg = launch.read_config(args)
    module.apply_args(cfg, args)
    return cfg, args


@pytest.fixture
def train():
    return lambda *words: arguments('train', *words)[0]


@pytest.fixture
def test():
    return lambda *words: arguments('test', 'last.pth', *words)[0]


class TestTrain:
    def test_without_options_the_config_is_as_written(self, train):
        cfg = train()
        assert cfg.work_dir == 'work_dirs/stadapter_vit-b_k400'
        assert cfg.launcher == 'none'
        assert not cfg.get('resume')
        assert cfg.randomness.seed == 0

    def test_settings_are_changed_by_their_dotted_name(self, train):
        cfg = train('--cfg-options', 'model.backbone.bottleneck_dims=96', 'a=[1,2]')
        assert cfg.model.backbone.bottleneck_dims == 96
        assert cfg.a == [1, 2]

    def test_an_option_without_a_value_is_refused(self, train):
        with pytest.raises(SystemExit, match='KEY=VALUE'):
            train('--cfg-options', 'model.backbone')

    @pytest.mark.parametrize(
        ('words', 'load_from'), [(['--resume'], None), (['--resume', 'epoch_3.pth'], 'epoch_3.pth')]
    )
    def test_resume_takes_the_latest_or_a_file(self, train, words, load_from):
        cfg = train(*words)
        assert cfg.resume and cfg.load_from == load_from

    def test_validation_can_be_left_out(self, train):
        cfg = train('--no-validate')
        assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None

    def test_the_seed_of_the_command_line_wins(self, train):
        cfg = train('--seed', '7', '--deterministic')
        assert cfg.randomness == dict(seed=7, deterministic=True)

    def test_amp_keeps_a_wrapper_that_has_it_and_replaces_a_plain_one(self, train):
        assert train('--amp').optim_wrapper.type == 'mmstadapter.AmpOptimWrapper'
        plain = train('--amp', '--cfg-options', 'optim_wrapper.type=OptimWrapper')
        assert plain.optim_wrapper.type == 'mmstadapter.AmpOptimWrapper'

    def test_amp_refuses_a_wrapper_it_does_not_know(self, train):
        with pytest.raises(SystemExit, match='cannot replace the optimiser wrapper Mine'):
            train('--amp', '--cfg-options', 'optim_wrapper.type=Mine')

    def test_the_learning_rate_scales_on_request(self, train):
        assert not train().auto_scale_lr.enable
        assert train('--auto-scale-lr').auto_scale_lr.enable


class TestTest:
    def test_the_checkpoint_is_loaded(self, test):
        assert test('--work-dir', 'here').load_from == 'last.pth'

    def test_dump_adds_a_second_evaluator(self, test):
        first, second = test('--dump', 'scores.pkl').test_evaluator
        assert first.type.endswith('AccMetric')
        assert second == dict(type='DumpResults', out_file_path='scores.pkl')

    def test_dump_wants_a_pickle(self, test, capsys):
        with pytest.raises(SystemExit):
            test('--dump', 'scores.json')
        assert '--dump writes a pickle' in capsys.readouterr().err

    def test_drawing_is_switched_on(self, test):
        hook = test('--show-dir', 'drawn', '--interval', '5').custom_hooks[-1]
        assert hook.type == 'mmstadapter.DrawingHook'
        assert (hook.out_dir, hook.interval, hook.show) == ('drawn', 5, False)


class TestJoinProcesses:
    @pytest.fixture
    def joined(self, monkeypatch):
        """The backends of the groups that were opened, with the seconds they wait if told."""
        opened = []

        def open_group(backend, timeout):
            opened.append(backend if timeout is None else (backend, timeout.total_seconds()))

        monkeypatch.setattr(torch.distributed, 'init_process_group', open_group)
        return opened

    def test_a_single_process_stays_alone(self, joined):
        cfg = Config(dict(launcher='none'))
        assert not host.join_processes(cfg)
        assert joined == [] and 'model_wrapper_cfg' not in cfg

    def test_gpus_are_left_to_mmengine(self, joined, monkeypatch):
        monkeypatch.setattr(host, 'get_device', lambda: 'cuda')
        assert not host.join_processes(Config(dict(launcher='pytorch')))
        assert joined == []

    def test_cpus_meet_over_gloo_without_device_ids(self, joined, monkeypatch):
        monkeypatch.setattr(host, 'get_device', lambda: 'cpu')
        cfg = Config(dict(launcher='pytorch', find_unused_parameters=True))
        assert host.join_processes(cfg)
        assert joined == ['gloo']
        assert cfg.model_wrapper_cfg.type == 'MMDistributedDataParallel'
        assert cfg.model_wrapper_cfg.device_ids is None
        assert cfg.model_wrapper_cfg.find_unused_parameters

    def test_a_wrapper_of_the_config_is_kept(self, joined, monkeypatch):
        monkeypatch.setattr(host, 'get_device', lambda: 'cpu')
        cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=dict(static_graph=True)))
        host.join_processes(cfg)
        assert cfg.model_wrapper_cfg.static_graph
        assert cfg.model_wrapper_cfg.device_ids is None

    def test_the_time_they_wait_for_each_other_is_the_configs(self, joined, monkeypatch):
        monkeypatch.setattr(host, 'get_device', lambda: 'cpu')
        dist_cfg = dict(backend='nccl', timeout=90)
        host.join_processes(Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dist_cfg))))
        assert joined == [('gloo', 90)]


def test_an_option_for_a_place_that_a_list_lacks_is_named(tmp_path):
    (tmp_path / 'mine.py').write_text('custom_hooks = []\n')
    args = argparse.Namespace(
        config=str(tmp_path / 'mine.py'),
        launcher='none',
        work_dir=None,
        cfg_options=['custom_hooks.0.type=NoHook'],
    )
    with pytest.raises(SystemExit, match='--cfg-options custom_hooks.0.type=NoHook: Index 0'):
        launch.read_config(args)


class TestTextsWithSpaces:
    @pytest.mark.parametrize(
        ('option', 'value'),
        [
            ('p=a photo of {}', 'a photo of {}'),
            ("p='a photo of a {}, indoors'", 'a photo of a {}, indoors'),
            ("p=['a photo of {}', '{} from above']", ['a photo of {}', '{} from above']),
            ('p=["a video of a person doing {}."]', ['a video of a person doing {}.']),
            ('p=a (very good) photo', 'a (very good) photo'),
            ('p=[1, 2]', [1, 2]),
            ('p=a, b', ['a', 'b']),
            ('p=[a, b]', ['a', 'b']),
            ('p=3', 3),
            ('p=x=y z', 'x=y z'),
        ],
    )
    def test_keep_them_and_other_values_are_as_ever(self, option, value):
        assert launch.parse_options([option, 'q=[1,2]']) == dict(p=value, q=[1, 2])

    @pytest.mark.parametrize('option', ['p=[a photo, a video]', 'p=a photo, indoors'])
    def test_unclear_ones_are_refused_with_how_to_say_it(self, option):
        with pytest.raises(SystemExit, match='each text in quotes'):
            launch.parse_options([option])


class TestWithoutACheckpoint:
    """A test of the model as it starts, its pretrained files alone."""

    @pytest.fixture
    def zero_shot(self, tmp_path, monkeypatch) -> str:
        """The zero-shot recipe on a random file of the tiny CLIP and three videos."""
        # Formatting configs for logs takes longer than the test here.
        monkeypatch.setattr(Config, 'pretty_text', property(lambda self: repr(self.to_dict())))
        cfg = Config.fromfile(shipped.config('zeroshot_vit-tiny_demo-digit.py'))
        names = [write_video(tmp_path / f'{i}.mp4', 24 + i, (32, 32)).name for i in range(3)]
        (tmp_path / 'list.txt').write_text(''.join(f'{n} {i}\n' for i, n in enumerate(names)))
        head = cfg.model.cls_head
        head.labels = ['zero', 'one', 'two']
        head.num_classes, head.topk = 3, (1,)
        trunk, text = cfg.model.backbone.trunk, head.text_tower
        tensors = {
            f'visual.{n}': t
            for n, t in MODELS.build(trunk | dict(checkpoint=None)).state_dict().items()
        }
        tensors |= MODELS.build(text | dict(checkpoint=None)).state_dict()
        tensors['logit_scale'] = torch.tensor(4.0)
        save_file(tensors, tmp_path / 'clip.safetensors')
        trunk.checkpoint = text.checkpoint = str(tmp_path / 'clip.safetensors')
        for kind in ('train', 'val', 'test'):
            loader = cfg[f'{kind}_dataloader']
            loader.update(batch_size=2, num_workers=0, persistent_workers=False)
            loader.dataset.update(ann_file='list.txt', data_root=str(tmp_path), num_classes=3)
            loader.dataset.data_prefix = dict(video='.')
        cfg.test_evaluator = dict(
            type='AccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1,)))
        )
        path = tmp_path / 'zero.py'
        path.write_text('\n'.join(f'{name} = {value!r}' for name, value in cfg.to_dict().items()))
        return str(path)

    @pytest.mark.slow
    @pytest.mark.parametrize('checkpoint', [[], ['none']])
    def test_a_recipe_that_trains_nothing_is_tested_as_it_is(self, checkpoint, zero_shot, tmp_path):
        main(['test', zero_shot, *checkpoint, '--work-dir', str(tmp_path / 'work')])
        (file,) = (tmp_path / 'work').glob('*/*.json')
        assert 'acc/top1' in json.loads(file.read_text())

    def test_one_that_trains_something_asks_for_its_checkpoint(self):
        model = torch.nn.Linear(2, 2)
        with pytest.raises(SystemExit, match='trains 2 tensors, such as weight, so a CHECKPOINT'):
            launch.require_untrained(model)
        launch.require_untrained(model.requires_grad_(False))
