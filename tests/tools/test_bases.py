"""Every recognition recipe is a base for one's own videos, and methods need no config's name."""

import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config

import mmstadapter
from mmstadapter import shipped
from mmstadapter.apis.bases import ARCHS, METHODS, Base
from mmstadapter.apis.own_videos import Video
from mmstadapter.apis.recipe import Recipe, clip_length, config_text

pytestmark = pytest.mark.slow

CAPTIONED = ('msrvtt', 'msvd', 'vatex', 'didemo', 'captions', '-novel_')
SEVERAL = [  # probes, none of which is the classifier
    n for n in shipped.configs() if n.startswith('probe_') and not ('-one' in n or 'vit-tiny' in n)
]
SWEEPS = [n for n in shipped.configs() if n.startswith('sweep_')]
RECOGNITION = [
    name
    for name in shipped.configs()
    if not any(c in name for c in CAPTIONED) and name not in (*SEVERAL, *SWEEPS)
]
VIDEOS = [Video(f'{i}.mp4', i % 2, 300, 30.0) for i in range(40)]


def written(base: Base, folder: Path, flip: bool = True, **given) -> Config:
    """The config that fit writes for two classes, read."""
    mirror = (flip, 'as told')
    recipe = Recipe.choose(VIDEOS, ['a', 'b'], base.config, base.max_batch, mirror, **given)
    text = config_text(
        recipe, base.name, base.config, base.trunk, folder, folder, ['a', 'b'], 0,
        head=base.head, from_scratch=bool(base.notes),
    )  # fmt: skip
    return Config.fromstring(text, '.py')


def steps_of(config: Config, kind: str) -> list[str]:
    steps = config[f'{kind}_dataloader'].dataset.pipeline
    return [step['type'].rpartition('.')[2] for step in steps]


def check(config: Config) -> None:
    """Its model has two classes and fits its head, and its pipelines build and agree."""
    if config.model.backbone.trunk.get('lora'):
        pytest.importorskip('peft', reason='peft is not installed')
    settings = config.model.to_dict()
    blending = settings['data_preprocessor'].pop('blending', {})  # wants numbers when it is built
    assert {part['num_classes'] for part in blending.get('augments', ())} <= {2}
    with torch.device('meta'):
        model = MODELS.build(settings)
    width = model.backbone.out_channels
    assert (model.cls_head.num_classes, model.cls_head.in_channels) == (2, width)
    assert settings['cls_head'].get('labels', ['a', 'b']) == ['a', 'b']
    assert clip_length(config) >= 8
    for kind in ('train', 'val', 'test'):
        dataset = config[f'{kind}_dataloader'].dataset
        assert dataset.type == 'mmstadapter.VideoDataset' and 'filename_tmpl' not in dataset
        for step in dataset.pipeline:
            TRANSFORMS.build(step)


def test_the_sweep_sees_every_recipe_with_classes():
    assert len(RECOGNITION) > 80


@pytest.mark.parametrize('name', RECOGNITION)
@pytest.mark.sweep
def test_every_recognition_recipe_is_a_base(name, tmp_path):
    base = Base.choose(base=name)
    for sampling in ('auto', 'base'):
        config = written(base, tmp_path, sampling=sampling)
        check(config)
        flips = [s for s in config.train_dataloader.dataset.pipeline if s['type'] == 'Flip']
        assert [step['flip_ratio'] for step in flips] == [0.5]
        assert not any('flip_label_map' in step for step in flips)  # of other classes
        assert 'Flip' not in steps_of(config, 'test')
    assert 'Flip' not in steps_of(written(base, tmp_path, flip=False), 'train')
    assert config.get('load_from') is None


@pytest.mark.parametrize('name', SEVERAL)
def test_recipes_of_several_probes_are_none(name):
    with pytest.raises(ValueError, match='several probes at rates of their own'):
        Base.choose(base=name)


@pytest.mark.parametrize('name', SWEEPS)
def test_recipes_of_a_grid_are_none(name):
    with pytest.raises(ValueError, match='trains a grid of models, none of which'):
        Base.choose(base=name)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('arch', ARCHS)
def test_a_method_and_an_arch_say_it_all(method, arch, tmp_path):
    if arch not in METHODS[method]:
        with pytest.raises(ValueError, match=f'no {method} for {arch}, only for vit-b-p16'):
            Base.choose(arch, method)
        return
    base = Base.choose(arch, method)
    config = written(base, tmp_path)
    check(config)
    trunk = config.model.backbone.trunk
    assert (trunk.arch, trunk.checkpoint) == (arch, ARCHS[arch][0])


def test_lora_without_its_library_is_refused_before_the_videos_are_opened(monkeypatch):
    monkeypatch.setattr('mmstadapter.apis.bases.find_spec', lambda name: None)
    with pytest.raises(RuntimeError, match=r"has LoRA in its trunk.*'mmstadapter\[peft\]'"):
        Base.choose(method='dora').require_libraries()
    Base.choose(method='linear').require_libraries()


def test_what_does_not_go_together_is_refused(tmp_path):
    with pytest.raises(ValueError, match='--method chooses a base config'):
        Base.choose(method='linear', base='linear_vit-b_k400.py')
    with pytest.raises(ValueError, match='method must be one of'):
        Base.choose(method='adapters')
    with pytest.raises(ValueError, match='no model.cls_head, so it is no recipe for classes'):
        Base.choose(base='zeroshot_vit-b_msvd.py')
    with pytest.raises(ValueError, match='trains on some of the classes and tests on others'):
        Base.choose(base='text_vit-b-novel_ucf101.py')
    with pytest.raises(FileNotFoundError, match='Did you mean'):
        Base.choose(base='stadapter_vit-b_k40.py')


def test_weights_that_are_not_there_are_missed_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone.pt.*neither a file nor a known name'):
        Base.choose(checkpoint=str(tmp_path / 'gone.pt')).require_weights({}, fetch=False)
    Base.choose().require_weights({}, fetch=False)  # a known name is fetched when training starts


def test_a_start_that_is_not_there_is_left_out_of_ours_and_missed_in_yours(tmp_path):
    base = Base.choose(base='stadapter_vit-b_ucf101.py')
    assert 'starts from the image model' in base.notes[0]
    own = tmp_path / 'own.py'
    own.write_text("_base_ = 'mmstadapter::linear_vit-b_k400.py'\nload_from = 'gone.safetensors'\n")
    with pytest.raises(FileNotFoundError, match='starts from gone.safetensors, which is not there'):
        Base.choose(base=str(own))


def test_command_and_docstring_name_every_method():
    command = (Path(mmstadapter.__file__).parent / 'commands/fit.py').read_text()
    (told,) = re.findall(r"'(stadapter, [^\[]*)\[", command.replace("'\n        '", ''))
    assert {*told.strip().split(', ')} == {*METHODS}
    listed = mmstadapter.fit.__doc__.partition('method:')[2].partition('arch:')[0]
    assert set(re.findall(r"``'(\w+)'``", listed)) == {*METHODS}
