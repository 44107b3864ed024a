"""The comparators' recipes: counts of the authors' code, published operations, rates, decay."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from torch import nn

from mmstadapter import shipped
from mmstadapter.analysis import costs

ROOT = Path(__file__).parents[2]
RATES = json.loads((Path(__file__).parents[1] / 'reference/comparators.json').read_text())
# Tuned and total parameters, and GMACs of a clip, counted in the authors' code.
COUNTED = {
    'aim_vit-b_k400': (10_966_672, 96_764_560, 202.1),
    'aim_vit-b_k400_32f': (10_985_104, 96_782_992, 811.1),
    'aim_vit-b_ssv2': (14_343_342, 100_141_230, 207.7),
    'aim_vit-l_k400': (38_261_136, 341_438_864, 933.5),
    'aim_vit-l_k400_32f': (38_285_712, 341_463_440, 3743.6),
    'aim_vit-l_ssv2': (50_643_118, 353_820_846, 959.4),
    'zeroi2v_vit-b_k400': (14_517_136, 100_315_024, 162.8),
    'zeroi2v_vit-l_k400': (50_874_768, 354_052_496, 751.6),
    'zeroi2v_vit-l_k400_32f': (50_899_344, 354_077_072, 3006.3),
}
# Beside a trunk: tuned parameters and GMACs of a clip. DiST's code also embeds the frames that
# its trunk does not see, which are drawn off here.
BESIDE = {
    'evl_vit-b_k400': (33_183_376, 151.3),
    'evl_vit-b_k400_32f': (33_257_104, 606.5),
    'evl_vit-b_ssv2': (98_756_526, 172.9),
    'evl_vit-l_k400': (58_727_824, 672.9),
    'evl_vit-l_k400_32f': (58_826_128, 2694.9),
    'evl_vit-l_ssv2': (350_069_934, 797.2),
    'dist_vit-b_ssv2_16f': (19_001_184, 162.9),
    'dist_vit-b_ssv2_32f': (19_044_192, 325.7),
    'dist_vit-b_ssv2_64f': (19_130_208, 651.5),
    'dist_vit-b_k400_16f': (26_105_184, 163.8),
    'dist_vit-l_ssv2_64f': (32_745_312, 2828.0),
    'dist_vit-l_k400_64f': (39_867_744, 2833.0),
}
# GFLOPs (multiply-adds) of all views, as the authors publish them.
PUBLISHED = {
    'aim_vit-b_k400': 606,
    'aim_vit-b_k400_16f': 1214,
    'aim_vit-b_k400_32f': 2428,
    'aim_vit-l_k400_16f': 5604,
    'aim_vit-l_k400_32f': 11208,
    'aim_vit-b_k700_32f': 7284,
    'aim_vit-l_k700_32f': 33624,
    'aim_vit-l_diving48_32f': 3736,
    'aim_vit-b_ssv2': 624,  # Side4Video's Table 2, as the next
    'aim_vit-l_ssv2': 2877,
}
# After merging: parameters without the head, GMACs; and the published GFLOPs of three views.
MERGED = {
    'zeroi2v_vit-b_k400': (85_805_568, 140.5, 422),
    'zeroi2v_vit-l_k400': (303_187_968, 648.1, 1946),
    'zeroi2v_vit-l_k400_32f': (303_212_544, 2592.4, 7783),
}
STEMS = [n[:-3] for n in shipped.configs() if n.startswith(('aim_', 'zeroi2v_'))]
RECIPES = [stem for stem in STEMS if 'tiny' not in stem]


@pytest.fixture(autouse=True, scope='module')
def scope():
    init_default_scope('mmaction')


@cache
def meta_model(stem: str) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(costs.load(stem).model)


@cache
def meta_backbone(stem: str) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(costs.load(stem).model.backbone)


def gmacs(stem: str) -> float:
    return costs.costs(costs.load(stem)).full / 1e9


@pytest.mark.parametrize('stem', COUNTED)
@pytest.mark.slow
def test_counts_are_those_of_the_authors_code(stem):
    found = costs.costs(costs.load(stem))
    assert (found.tuned, found.total, round(found.full / 1e9, 1)) == COUNTED[stem]


@pytest.mark.parametrize('stem', BESIDE)
@pytest.mark.slow
def test_counts_of_what_stands_beside_a_trunk_are_those_of_the_authors_code(stem):
    config, (tuned, operations) = costs.load(stem), BESIDE[stem]
    found, trunk = costs.costs(config), meta_backbone(stem).trunk
    assert found.tuned == tuned and found.full == found.ours
    unseen = costs.frames_of(config) // 2 if stem.startswith('dist') else 0
    patches = trunk.grid[0] * trunk.grid[1]
    embedding = unseen * patches * 3 * trunk.patch_size**2 * trunk.embed_dims
    assert (found.ours + embedding) / 1e9 == pytest.approx(operations, abs=0.051)


@pytest.mark.slow
def test_the_model_that_side4video_compares_dist_with_has_two_pooling_layers():
    """19 M, 32 M, 480 and 2130 GFLOPs of three views."""
    config = Config(costs.load('dist_vit-l_ssv2_64f').to_dict())
    config.model.backbone.num_frames = 16
    config.test_dataloader.dataset.pipeline[1].clip_len = 16
    found = costs.costs(config)
    assert found.tuned == 32_505_696
    assert 3 * found.ours / 1e9 == pytest.approx(2130, rel=0.01)
    small = costs.costs(costs.load('dist_vit-b_ssv2_16f'))
    assert 3 * small.ours / 1e9 == pytest.approx(480, rel=0.015)


@pytest.mark.parametrize('stem', PUBLISHED)
@pytest.mark.slow
def test_operations_of_all_views_are_the_published_ones(stem):
    steps = costs.steps_of(costs.load(stem))
    clips = next(step.get('num_clips', 1) for step in steps if 'clip_len' in step)
    squares = 3 if any(step.type == 'ThreeCrop' for step in steps) else 1
    assert gmacs(stem) * clips * squares == pytest.approx(PUBLISHED[stem], rel=0.003)


@pytest.mark.parametrize('stem', MERGED)
def test_merged_it_costs_what_the_image_model_costs(stem):
    parameters, operations, published = MERGED[stem]
    config = Config(costs.load(stem).to_dict())
    config.model.backbone.update(adapters=[])
    body = costs.costs(config)
    head = sum(p.numel() for p in meta_model(stem).cls_head.parameters())
    assert body.total - head == parameters
    assert round(body.full / 1e9, 1) == operations
    assert 3 * body.full / 1e9 == pytest.approx(published, rel=0.002)


def test_adapters_alone_are_those_of_the_authors_code():
    counts = {}
    for stem in ('aim_vit-b_k400', 'aim_vit-b_ssv2', 'aim_vit-l_k400', 'aim_vit-l_ssv2'):
        names = ('time_in', 'time_out', 'space_out', 'beside_mlp')
        parts = [getattr(meta_model(stem).backbone, name) for name in names]
        counts[stem] = sum(p.numel() for part in parts for p in part.parameters())
    assert list(counts.values()) == [10_651_392, 14_201_856, 37_840_896, 50_454_528]


def groups(stem: str) -> dict[str, tuple[float, float]]:
    """Rate and decay of every tuned parameter."""
    config = costs.load(stem)
    beside = stem.startswith(('evl', 'dist'))
    model = nn.ModuleDict(dict(backbone=meta_backbone(stem))) if beside else meta_model(stem)
    settings = {k: v for k, v in config.optim_wrapper.items() if k != 'constructor'}
    settings['type'] = 'OptimWrapper'  # the groups alone matter here, not the precision
    paramwise = settings.pop('paramwise_cfg', {})
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=config.optim_wrapper.constructor,
            optim_wrapper_cfg=settings,
            paramwise_cfg=paramwise,
        )
    )
    names = {id(p): n for n, p in model.named_parameters()}
    found = constructor(model).optimizer.param_groups
    return {names[id(p)]: (g['lr'], g['weight_decay']) for g in found for p in g['params']}


@pytest.mark.parametrize('stem', RECIPES)
@pytest.mark.sweep
def test_rates_and_decay_are_the_released_ones(stem):
    """ViT-L at a tenth (not AIM on Kinetics-700 and Diving-48); the last norm decays in AIM's L."""
    slow = '_vit-l_' in stem and not stem.endswith(('k700_32f', 'diving48_32f'))
    no_decay = set() if slow and stem.startswith('aim') else {'ln_post'}
    no_decay |= {'time_embed'} if stem.startswith('zeroi2v') else set()
    for name, (rate, decay) in groups(stem).items():
        inside = name.startswith('backbone')
        assert rate == pytest.approx(3e-5 if slow and inside else 3e-4), name
        assert decay == (0 if any(part in name for part in no_decay) else 0.05), name


@pytest.mark.parametrize('stem', ['evl_vit-b_k400', 'dist_vit-b_k400_16f'])
def test_what_decays_beside_a_trunk(stem):
    """EVL: everything. DiST: matrices and convolutions, not tokens, positions and vectors."""
    shapes = {n: p.ndim for n, p in meta_backbone(stem).named_parameters() if p.requires_grad}
    free = ('cls_token', 'query', 'positions')
    for name, (rate, decay) in groups(stem).items():
        if stem.startswith('evl'):
            assert (rate, decay) == (4e-4, 0.05), name
        else:
            matrix = shapes[name.removeprefix('backbone.')] > 1 and not name.endswith(free)
            assert (rate, decay) == (3.2e-4, 1e-4 if matrix else 0), name


@pytest.mark.slow
def test_recipes_beside_a_trunk_are_the_released_ones():
    for stem in (n[:-3] for n in shipped.configs() if n.startswith(('evl_vit-', 'dist_vit-'))):
        config = costs.load(stem)
        if 'tiny' in stem:
            continue
        assert 8 * config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == 256
        clips, squares = costs.views_of(config)
        frames = costs.frames_of(config)
        if stem.startswith('dist'):
            assert (clips, squares) == (3, 1) and config.train_cfg.max_epochs == 36
            assert config.model.backbone.num_poolings == (4 if 'k400' in stem else 2)
        else:
            few = 'k400' in stem and frames == 8
            assert (clips, squares) == ((3, 1) if few else (1, 3))
            assert config.train_cfg.max_steps == 50_000
        assert config.model.backbone.num_frames == frames
        types = [step.type for step in config.train_dataloader.dataset.pipeline]
        assert ('Flip' in types) == stem.startswith('dist')


def test_the_schedule_is_the_released_one():
    """ZeroI2V's rates as mmengine gave them: a cosine an epoch, times a warm-up an iteration."""
    stored, config = RATES['zeroi2v_lr'], costs.load('zeroi2v_vit-b_k400')
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=stored['lr'])
    length, epochs = stored['iterations_per_epoch'], config.train_cfg.max_epochs
    schedulers = []
    for settings in config.param_scheduler:
        settings = dict(settings, optimizer=optimiser)
        kind = PARAM_SCHEDULERS.get(settings.pop('type'))
        settings.setdefault('end', epochs)  # as the runner does
        if settings.pop('convert_to_iter_based', False):
            kind, settings['epoch_length'] = kind.build_iter_from_epoch, length
        schedulers.append(kind(**settings))
    rates = []
    optimiser.step()  # so that the schedulers do not warn
    for i in range(epochs * length):
        rates.append(optimiser.param_groups[0]['lr'])
        schedulers[0].step()
        if (i + 1) % length == 0:
            schedulers[1].step()
    assert epochs == stored['epochs']
    assert rates[:60] == pytest.approx(stored['rate_of_iteration'])
    assert rates[::length] == pytest.approx(stored['rate_of_epoch_start'])


@pytest.mark.parametrize('stem', RECIPES)
def test_the_rate_is_meant_for_the_batch_of_the_recipe(stem):
    config = costs.load(stem)
    text = Path(shipped.config(f'{stem}.py')).read_text()
    gpus = int(text.partition('--gpus ')[2].split()[0])
    parts = config.optim_wrapper.get('accumulative_counts', 1)
    batch = gpus * config.train_dataloader.batch_size * parts
    assert batch == config.auto_scale_lr.base_batch_size
    epochs = dict(ssv2=50, diving48=50).get(stem.split('_')[2], 40 if 'zero' in stem else 30)
    assert config.train_cfg.max_epochs == epochs


@pytest.mark.parametrize('stem', STEMS)
def test_the_table_of_time_positions_has_a_row_a_frame(stem):
    config = costs.load(stem)
    assert config.model.backbone.num_frames == costs.frames_of(config)


def test_the_released_differences_are_in_the_recipes():
    types = lambda stem: [  # noqa: E731
        step.type.removeprefix('mmstadapter.')
        for step in costs.load(stem).train_dataloader.dataset.pipeline
    ]
    assert 'PCANoise' in types('aim_vit-l_k400') and 'PCANoise' not in types('aim_vit-b_k400')
    assert 'Flip' not in types('aim_vit-b_ssv2') and 'Flip' in types('aim_vit-b_diving48_32f')
    order = types('zeroi2v_vit-b_k400')
    assert order.index('RandAugment') < order.index('RandomResizedCrop')
    order = types('zeroi2v_vit-l_ssv2_32f')
    assert order.index('RandomResizedCrop') < order.index('Flip') < order.index('RandAugment')
    assert types('zeroi2v_vit-l_k400_32f')[-3] == 'RandomErasing'
    assert 'RandomErasing' not in types('zeroi2v_vit-l_k400')


@pytest.mark.slow
def test_the_page_shows_these_counts():
    page = (ROOT / 'docs/comparators.md').read_text()
    rows = re.findall(
        r'\| ([\d,]+) \| ([\d.]+)(?:, merged [\d.]+)? \| [\d.]+ \| `(\w+-\w+)\.py`', page
    )
    assert len(rows) == 24
    for tuned, operations, stem in rows:
        found = costs.costs(costs.load(stem))
        assert f'{found.tuned:,}' == tuned and f'{found.full / 1e9:.1f}' == operations


@pytest.mark.parametrize('method', ['aim', 'zeroi2v', 'evl', 'dist'])
@pytest.mark.slow
def test_mims_index_says_the_same(method):
    file = ROOT / f'configs/{method}-metafile.yml'
    models = {m['Name']: m['Metadata'] for m in yaml.safe_load(file.read_text())['Models']}
    recipes = {n[:-3] for n in shipped.configs() if n.startswith(f'{method}_') and 'tiny' not in n}
    assert models.keys() == recipes
    for stem, notes in models.items():
        config = costs.load(stem)
        assert notes['Tuned Parameters'] == costs.costs(config).tuned
        assert notes['Frames'] == costs.frames_of(config)
        length = notes.get('Epochs', notes.get('Steps'))
        assert length == config.train_cfg.get('max_epochs', config.train_cfg.get('max_steps'))
        assert notes['Batch Size'] == config.auto_scale_lr.base_batch_size
