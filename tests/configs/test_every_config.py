"""Every shipped config builds, says what it is, and its frames are those of its name."""

import ast
import re
from functools import cache
from pathlib import Path
from statistics import mean

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import HOOKS, PARAM_SCHEDULERS

from mmstadapter import shipped
from mmstadapter.checks import prepare
from mmstadapter.checks.hooks import OURS
from mmstadapter.demo import results

FOLDER = shipped.root() / 'configs'
CONFIGS = sorted(FOLDER.glob('*.py'))
# Recipes that are named after what is trained. The others are named after their backbone.
RECIPES = {'linear', 'bitfit', 'partial', 'full', 'temporal', 'lora', 'dora'}
RECIPES |= {'clip4clip', 'zeroshot', 'text', 'sweep'}
CAPTIONED = {'msrvtt', 'msvd', 'vatex', 'didemo', 'demo-captions'}
DATA = {path.stem for path in (FOLDER / '_base_/datasets').glob('*.py')}
NAME = re.compile(r'([a-z0-9]+)_vit-([a-z0-9]+)(?:-[a-z0-9]+)*_([a-z0-9]+)(-[a-z]+)?(?:_(\d+)f)?')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@cache
def read(path: Path) -> Config:
    """A config, read once for all tests, which leave it as it is."""
    return Config.fromfile(path)


def is_captioned(path: Path) -> bool:
    return words(path)[2] in CAPTIONED


def words(path: Path) -> tuple[str, str, str, int | None]:
    """Method, trunk, data and frames, as a config's name has them."""
    name = NAME.fullmatch(path.stem)
    assert name, f'{path.name} is not METHOD_vit-TRUNK[-OPTION]_DATA[-TASK][_16f].py'
    method, trunk, data, task, frames = name.groups()
    return method, trunk, data + (task or ''), frames and int(frames)


def require_library(config: Config) -> None:
    """Skip what builds a model with LoRA where peft is not installed."""
    if config.model.backbone.trunk.get('lora'):
        pytest.importorskip('peft', reason='peft is not installed')


def trunk_word(trunk: dict) -> str:
    """'b' for 'vit-b-p16' and timm's base models, 'b32' for 'vit-b-p32', 'l336' for '...-336'."""
    if 'arch' not in trunk:
        return re.search(r'_(base|large)_', trunk['model'])[1][0]
    arch = trunk['arch']
    if not isinstance(arch, str):
        return 'tiny'
    _, size, *rest = arch.split('-')
    usual = {'b': 'p16', 'l': 'p14', 'e': 'p14'}[size]
    return ''.join((size, *(word.removeprefix('p') for word in rest if word != usual)))


def test_the_sweep_sees_every_config():
    assert [path.name for path in CONFIGS] == shipped.configs()
    assert RECIPES <= {words(path)[0] for path in CONFIGS}
    assert not [p for p in FOLDER.rglob('*.py') if p.parent != FOLDER and '_base_' not in p.parts]


def test_config_names_occur_once():
    names = [p.name for p in FOLDER.rglob('*.py') if '_base_' not in p.parts]
    assert len(names) == len(set(names))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
@pytest.mark.sweep
class TestEveryConfig:
    def test_its_name_says_method_trunk_and_data(self, path):
        method, trunk, data, _ = words(path)
        backbone = read(path).model.backbone
        kind = backbone.type.removeprefix('mmstadapter.').lower()
        assert method in RECIPES | {kind, kind.removesuffix('vit')}
        assert trunk == trunk_word(backbone.trunk)
        assert {data.replace('-', '_'), data.partition('-')[0]} & DATA

    def test_its_header_says_how_to_launch_it(self, path):
        header = ast.get_docstring(ast.parse(path.read_text()))
        launch = 'mim train mmstadapter {}'
        if path.stem.startswith('zeroshot'):
            launch = 'mmstadapter test {} none'
        assert launch.format(path.name) in header

    def test_its_frames_are_those_of_its_name(self, path):
        _, trunk, data, frames = words(path)
        frames = frames or (12 if data in CAPTIONED and trunk != 'tiny' else 8)
        config = read(path)
        seen = []
        for loader in LOADERS:
            steps = config[loader].dataset.pipeline
            seen += [step.clip_len for step in steps if 'clip_len' in step]
        assert seen == [frames] * 3
        assert config.clip_len == frames

    def test_its_trunk_variable_is_the_trunk_of_its_model(self, path):
        """Configs that inherit it take `_base_.trunk` (docs/several_tasks.md)."""
        config = read(path).to_dict()
        model = config['model']['backbone']['trunk']
        assert config['trunk'] == {key: model.get(key) for key in config['trunk']}

    def test_its_pipelines_build(self, path):
        config = read(path)
        built = [TRANSFORMS.build(s) for n in LOADERS for s in config[n].dataset.pipeline]
        assert len(built) > 10

    def test_its_model_builds_and_tunes_something(self, path):
        config = read(path)
        require_library(config)
        settings = config.model.to_dict()
        settings['data_preprocessor'].pop('blending', None)  # the host's wants numbers
        kind = settings['backbone']['trunk']['type'].removeprefix('mmstadapter.')
        if library := dict(TimmViT='timm', HFVideoViT='transformers').get(kind):
            pytest.importorskip(library, reason=f'{library} is not installed')
        with torch.device('meta'):
            model = MODELS.build(settings)
        tuned = sum(p.requires_grad for p in model.parameters())
        if path.stem.startswith('zeroshot'):  # scale and bias play no part in testing
            names = {n for n, p in model.named_parameters() if p.requires_grad}
            assert names <= ({'logit_scale', 'logit_bias'} if is_captioned(path) else set())
        else:
            assert tuned > 0
        assert (tuned < len(list(model.parameters()))) == (model.backbone.trunk.tune != 'all')
        if is_captioned(path):
            widths = {model.backbone.trunk.joint_dims, model.text_tower.joint_dims}
            assert widths | {model.similarity.embed_dims} <= {*widths, None} and len(widths) == 1
            assert config.default_hooks.checkpoint.save_best is None
            assert model.num_frames == config.test_dataloader.dataset.pipeline[1].clip_len
        else:
            assert model.cls_head.in_channels == model.backbone.out_channels

    def test_its_hooks_and_schedule_are_known(self, path):
        config = read(path)
        schedule = config.param_scheduler
        schedule = schedule if isinstance(schedule, list) else [schedule]
        assert all(PARAM_SCHEDULERS.get(s['type']) for s in schedule)
        assert all(HOOKS.get(hook['type']) for hook in config.default_hooks.values())
        assert OURS.items() <= {n: h['type'] for n, h in config.default_hooks.items()}.items()

    def test_it_passes_the_checks_before_a_run_without_a_word(self, path):
        require_library(read(path))
        _, notes = prepare(read(path))
        assert notes == []


@pytest.mark.parametrize('method', ['linear', 'side4video', 'stadapter'])
@pytest.mark.parametrize('task', ['motion', 'digit'])
def test_headers_of_the_leaderboard_say_what_was_measured(method, task):
    found = results.read_all(Path(__file__).parents[2] / 'leaderboard')
    seeds = [r for r in found if (r.method, r.task, r.trunk) == (method, task, 'clip-tiny')]
    measured = f'{mean(r.scores["top1"] for r in seeds):.1f}'
    header = ast.get_docstring(
        ast.parse((FOLDER / f'{method}_vit-tiny_demo-{task}.py').read_text())
    )
    said = re.findall(r'\b(\d+(?:\.\d)?) %', header)
    assert measured.removesuffix('.0') in [figure.removesuffix('.0') for figure in said]


def test_no_config_changes_a_step_by_its_place():
    for path in FOLDER.rglob('*.py'):
        assert not re.search(r'(pipeline|steps)(\.\w+\(|\[[-\d:])', path.read_text()), path.name


def test_no_config_names_a_path_of_one_machine():
    for path in FOLDER.rglob('*.py'):
        assert not re.search(r"['\"]/(home|root|tmp|mnt|work)/", Path(path).read_text())
