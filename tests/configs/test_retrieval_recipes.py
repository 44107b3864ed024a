"""The retrieval recipes are the released ones: what is trained, how, on which frames."""

import ast
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config

from mmstadapter import NamedGroupsConstructor, shipped
from mmstadapter.testing import (
    TINY_ARCH,
    TINY_TEXT_ARCH,
    caption_samples,
    fill,
    tiny_tokenizer,
    toy_clips,
)

from ..datasets.conftest import write_video

SETS = ('msrvtt', 'msvd', 'vatex')
PAGE = Path(__file__).parents[2] / 'docs' / 'retrieval.md'
CONFIGS = PAGE.parents[1] / 'configs'
ROWS = re.findall(
    r'^\| `([\w-]+)_\*`.*? \| ([\d,]+) \| ([\d,]+) \|', PAGE.read_text(), re.MULTILINE
)
TOWERS = re.findall(
    r'^\| `(\w+_vit-b-\w+_msrvtt)` \| ([\d,]+) \| ([\d,]+) \| ([\d.]*)',
    PAGE.read_text(),
    re.MULTILINE,
)
DIDEMO = re.findall(
    r'^\| `(\w+_vit-\w+_didemo_32f)` \| ([\d,]+) \| ([\d.]*)', PAGE.read_text(), re.MULTILINE
)
# What public listings state for ST-Adapter, measured by others than its authors.
LISTED = {
    'stadapter_vit-b_didemo_32f': '36.6 R@1',
    'stadapter_vit-b_msrvtt': '80.1 R@10',
    'stadapter_vit-b_msvd': '42.5 R@1',
}


def recipe(name: str) -> Config:
    return Config.fromfile(shipped.config(f'{name}.py'))


def header(stem: str) -> str:
    return ast.get_docstring(ast.parse(shipped.config(f'{stem}.py').read_text())) or ''


def meta_model(config: Config) -> torch.nn.Module:
    with torch.device('meta'):
        return MODELS.build(config.model)


def tuned(model: torch.nn.Module) -> dict[str, int]:
    return {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(('stem', 'total', 'video'), ROWS, ids=lambda x: x)
@pytest.mark.sweep
def test_the_page_counts_what_is_trained(stem, total, video):
    if not stem.startswith('zeroshot'):
        sizes = tuned(meta_model(recipe(f'{stem}_msrvtt')))
        assert f'{sum(sizes.values()):,}' == total
        assert f'{sum(v for n, v in sizes.items() if n.startswith("backbone")):,}' == video


def shrunk(config: Config) -> dict:
    """The config's model with the tiny towers in the places of the large ones, random."""
    model = config.model.to_dict()
    model['backbone']['trunk'] |= dict(arch=TINY_ARCH, checkpoint=None)
    if model['backbone']['type'] == 'mmstadapter.Side4VideoViT':
        model['backbone'] |= dict(side_dims=16, head_dims=8)
    model['text_tower'] |= dict(arch=TINY_TEXT_ARCH, checkpoint=None)
    model['tokenizer'] = tiny_tokenizer()
    if 'embed_dims' in model['similarity']:
        model['similarity']['embed_dims'] = TINY_ARCH['output_dims']
    return model | dict(num_frames=4, data_preprocessor=None)


@pytest.mark.parametrize('stem', [stem for stem, *_ in ROWS if not stem.startswith('zeroshot')])
@pytest.mark.sweep
def test_whatever_a_recipe_tunes_gets_a_gradient(stem):
    """Else DistributedDataParallel stops at the second step."""
    model = fill(MODELS.build(shrunk(recipe(f'{stem}_msrvtt')))).train()
    losses = model(toy_clips(3), caption_samples(3), mode='loss')
    model.parse_losses(losses)[0].backward()
    left = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not left


def test_the_page_has_every_family():
    families = {p.stem.rpartition('_')[0] for p in PAGE.parents[1].glob('configs/*_msvd.py')}
    known = {stem for stem, *_ in ROWS} | {f'zeroshot_vit-{arch}' for arch in ('b', 'l', 'b32')}
    assert families == known | {f.replace('b32', 'b') for f in known}


@pytest.fixture(scope='module')
def model():
    return meta_model(recipe('side4video_vit-b_msrvtt'))


def test_mims_index_lists_them_all():
    index = yaml.safe_load((PAGE.parents[1] / 'configs/retrieval-metafile.yml').read_text())
    notes = {entry['Name']: entry['Metadata'] for entry in index['Models']}
    captioned = {*SETS, 'didemo'}
    stems = {Path(n).stem for n in shipped.configs() if Path(n).stem.split('_')[2] in captioned}
    assert notes.keys() == stems
    counts = {f'{stem}_msrvtt': int(total.replace(',', '')) for stem, total, _ in ROWS}
    counts |= {stem: int(total.replace(',', '')) for stem, total, *_ in (*DIDEMO, *TOWERS)}
    for stem in counts.keys() & notes.keys():
        assert notes[stem]['Tuned Parameters'] == counts[stem]


class TestTowersOf2025:
    """SigLIP 2 and PE-Core on MSR-VTT, each as it is, adapted, with a side network and LoRA."""

    def test_the_page_has_every_recipe(self):
        assert {stem for stem, *_ in TOWERS} == {
            f'{method}_vit-b-{tower}_msrvtt'
            for method in ('zeroshot', 'stadapter', 'side4video', 'lora')
            for tower in ('siglip2', 'pe')
        }

    @pytest.mark.sweep
    @pytest.mark.parametrize(('stem', 'total', 'video', 'figure'), TOWERS, ids=lambda x: x)
    def test_the_page_counts_what_is_trained(self, stem, total, video, figure):
        assert (figure or 'No figure published') in header(stem)
        pytest.importorskip('timm', reason='timm is not installed')
        sizes = tuned(meta_model(recipe(stem)))
        left = {'logit_scale', 'logit_bias'} if stem.startswith('zeroshot') else set()
        assert f'{sum(size for n, size in sizes.items() if n not in left):,}' == total
        assert f'{sum(size for n, size in sizes.items() if n.startswith("backbone")):,}' == video

    @pytest.mark.sweep
    @pytest.mark.parametrize('stem', [stem for stem, *_ in TOWERS])
    def test_training_begins_as_zero_shot_and_reaches_whatever_is_tuned(self, stem):
        pytest.importorskip('timm', reason='timm is not installed')
        tower = stem.split('_')[1]
        models = {}
        for name in (stem, f'zeroshot_{tower}_msrvtt'):
            torch.manual_seed(0)
            models[name] = MODELS.build(small_tower(recipe(name)))
        model, zero = models[stem], models[f'zeroshot_{tower}_msrvtt']
        fill(zero.backbone.trunk)
        fill(zero.text_tower)
        model.load_state_dict(
            {n: t for n, t in zero.state_dict().items() if n in model.state_dict()}, strict=False
        )
        video, samples = toy_clips(3), caption_samples(3)
        with torch.no_grad():
            expected = zero.eval().encode_videos(video)['vector']
            torch.testing.assert_close(model.eval().encode_videos(video)['vector'], expected)
        fill(model)
        losses = model.train()(video, samples, mode='loss')
        model.parse_losses(losses)[0].backward()
        assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]

    @pytest.mark.parametrize('tower', ['siglip2', 'pe'])
    def test_frames_are_squashed_as_in_training(self, tower):
        config = recipe(f'zeroshot_vit-b-{tower}_msrvtt')
        for kind in ('train', 'val', 'test'):
            steps = config[f'{kind}_dataloader'].dataset.pipeline
            (step,) = (step for step in steps if step.type == 'mmstadapter.PILResize')
            assert step['size'] == (224, 224)


def small_tower(config: Config) -> dict:
    """A tower recipe's model, of its own kinds of layers, small and random."""
    model = config.model.to_dict()
    width = TINY_TEXT_ARCH['output_dims']
    classes = 0 if 'siglip' in model['backbone']['trunk']['model'] else width
    options = dict(embed_dim=width, depth=3, num_heads=2, img_size=32, patch_size=8)
    options['num_classes'] = classes
    model['backbone']['trunk'] |= dict(options=options, checkpoint=None)
    if model['backbone']['type'] == 'mmstadapter.Side4VideoViT':
        model['backbone'] |= dict(side_dims=16, head_dims=8)
    model['text_tower'] |= dict(arch=TINY_TEXT_ARCH, checkpoint=None)
    model['tokenizer'] = tiny_tokenizer()
    return model | dict(num_frames=4, data_preprocessor=None)


class TestDiDeMo:
    def test_the_page_has_every_recipe(self):
        assert {stem for stem, *_ in DIDEMO} == {p.stem for p in CONFIGS.glob('*_didemo_32f.py')}
        assert {stem.split('_')[0] for stem, *_ in DIDEMO} >= {'stadapter', 'side4video'}

    @pytest.mark.sweep
    @pytest.mark.parametrize(('stem', 'total', 'figure'), DIDEMO, ids=lambda x: x)
    def test_the_page_counts_what_is_trained(self, stem, total, figure):
        assert f'{sum(tuned(meta_model(recipe(stem))).values()):,}' == total
        assert (figure or 'No figure published') in header(stem)

    @pytest.mark.parametrize('stem', [stem for stem, *_ in DIDEMO])
    def test_words_and_frames_are_those_of_paragraphs(self, stem):
        config = recipe(stem)
        assert config.model.tokenizer.context_length == 64
        assert config.model.num_frames == 32 == config.clip_len
        for kind in ('train', 'val', 'test'):
            settings = config[f'{kind}_dataloader'].dataset
            sampling = next(step for step in settings.pipeline if 'clip_len' in step)
            assert (sampling.clip_len, sampling.fps, sampling.seconds) == (32, 1, 30)
            assert (settings.data_root, settings.ann_file) == ('data/didemo', f'{kind}.json')

    @pytest.mark.parametrize('method', ['stadapter', 'side4video'])
    def test_else_the_recipe_is_that_of_msr_vtt(self, method):
        didemo, msrvtt = recipe(f'{method}_vit-b_didemo_32f'), recipe(f'{method}_vit-b_msrvtt')
        for field in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks'):
            assert didemo[field] == msrvtt[field]
        assert didemo.model.backbone == msrvtt.model.backbone
        assert didemo.train_dataloader.batch_size == msrvtt.train_dataloader.batch_size


@pytest.mark.parametrize(('stem', 'figure'), LISTED.items())
def test_figures_measured_by_others_say_so(stem, figure):
    assert f'Listed: {figure}.' in header(stem)
    assert 'measured by others than its authors' in ' '.join(header(stem).split())
    assert figure.split()[0] in PAGE.read_text()


class TestWhatSide4VideoTrains:
    def test_of_the_trunk_the_last_norm_and_the_projection(self, model):
        trunk = {n for n in tuned(model) if n.startswith('backbone.trunk.')}
        assert trunk == {f'backbone.trunk.{n}' for n in ('ln_post.weight', 'ln_post.bias', 'proj')}

    def test_all_of_the_rest(self, model):
        others = [n for n, _ in model.named_parameters() if not n.startswith('backbone.trunk.')]
        assert set(others) <= tuned(model).keys()
        assert {n.split('.')[0] for n in others} == {
            'backbone',
            'text_tower',
            'similarity',
            'logit_scale',
        }

    def test_the_optimizer_has_the_four_released_groups(self, model):
        settings = recipe('side4video_vit-b_msrvtt').optim_wrapper.to_dict()
        paramwise = settings.pop('paramwise_cfg')
        assert settings.pop('constructor') == 'mmstadapter.NamedGroupsConstructor'
        assert settings['clip_grad'] == dict(max_norm=1.0)
        settings['type'] = 'OptimWrapper'  # without a GPU
        made = NamedGroupsConstructor(settings, paramwise)(model).optimizer
        assert type(made).__name__ == 'BertAdam'
        names = {id(p): n for n, p in model.named_parameters()}
        groups = {
            (f'{g["lr"]:.0e}', g['weight_decay']): [names[id(p)] for p in g['params']]
            for g in made.param_groups
        }
        assert set(groups) == {(rate, decay) for rate in ('1e-07', '1e-04') for decay in (0.0, 0.2)}
        for (rate, decay), members in groups.items():
            new = [n.startswith(('backbone.side.', 'similarity.')) for n in members]
            assert all(new) if rate == '1e-04' else not any(new)
            assert all('bias' in n for n in members) == (decay == 0)
        clip = groups['1e-07', 0.2]
        assert {'logit_scale', 'backbone.trunk.proj', 'text_tower.text_projection'} <= set(clip)
        assert 'text_tower.token_embedding.weight' in clip


@pytest.mark.parametrize('data', SETS)
@pytest.mark.sweep
class TestData:
    @pytest.fixture
    def config(self, data, tmp_path):
        config = recipe(f'side4video_vit-b_{data}')
        write_video(tmp_path / 'a.mp4', frames=50, size=(72, 96))
        write_video(tmp_path / 'b.avi', frames=7, size=(96, 72))
        (tmp_path / 'list.json').write_text(json.dumps({'a.mp4': ['x', 'y'], 'b.avi': ['z']}))
        for kind in ('train', 'val', 'test'):
            settings = config[f'{kind}_dataloader'].dataset
            assert settings.data_root == f'data/{data}' and settings.data_prefix.video == 'videos'
            settings.update(data_root=str(tmp_path), ann_file='list.json')
            settings.data_prefix.video = '.'
        return config

    def test_both_kinds_of_items_have_12_square_frames(self, config, data):
        for kind, items in (('train', 3), ('test', 2)):
            dataset = DATASETS.build(config[f'{kind}_dataloader'].dataset)
            assert len(dataset) == items
            for sample in dataset:
                assert sample['inputs'].shape == (1, 3, 12, 224, 224)
                assert sample['inputs'].dtype == torch.uint8

    def test_loaders_words_and_frames_are_the_released_ones(self, config, data):
        train, test = config.train_dataloader, config.test_dataloader
        assert (train.batch_size, train.drop_last, train.sampler.shuffle) == (16, True, True)
        assert not test.sampler.shuffle and test.dataset.test_mode
        assert config.model.tokenizer.context_length == 32
        assert train.dataset.get('captions', 'each') == 'each'
        rule = {'vatex': 'middle'}.get(data, 'every')
        assert test.dataset.pipeline[1].rule == rule
        assert config.val_dataloader.dataset.pipeline == test.dataset.pipeline
        assert config.train_cfg.max_epochs == 5 and config.param_scheduler[0].warmup == 0.5


@pytest.mark.slow
def test_every_retrieval_recipe_trains_alike():
    stems = [Path(n).stem for n in shipped.configs() if Path(n).stem.split('_')[2] in SETS]
    of_their_own = ('lora_', 'dora_', 'tempme_')
    stems = [stem for stem in stems if not stem.startswith(of_their_own)]
    assert len(stems) == 54
    reference = recipe('side4video_vit-b_msrvtt')
    for stem in stems:
        config = recipe(stem)
        for field in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks'):
            assert config[field] == reference[field], (stem, field)
        assert config.model.gather == 'exact' and config.model.num_frames == 12
        assert config.model.text_tower.checkpoint == config.model.backbone.trunk.checkpoint
