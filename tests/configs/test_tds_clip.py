"""TDS-CLIP's recipes: counts of the authors' code, what is released, and what differs from it."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmstadapter import shipped
from mmstadapter.analysis import costs
from mmstadapter.checks import prepare

ROOT = Path(__file__).parents[2]
# Tuned and total parameters and GMACs of a clip, counted in the authors' code.
COUNTED = {
    ('b-p16', 'k400', 8): (24_297_072, 110_094_960, 180.6),
    ('b-p16', 'ssv2', 8): (24_224_526, 110_022_414, 180.6),
    ('b-p16', 'ssv2', 16): (24_224_526, 110_022_414, 361.1),
    ('l-p14', 'k400', 8): (106_651_536, 409_829_264, 878.3),
    ('l-p14', 'ssv2', 8): (106_535_598, 409_713_326, 878.3),
    ('l-p14', 'ssv2', 16): (106_535_598, 409_713_326, 1756.7),
    ('b-p32', 'ssv2', 8): (35_236_686, 122_691_150, 49.2),
}
METHODS = ('tdsclip', 'side4video')
STEMS = [n[:-3] for n in shipped.configs() if n.startswith('tdsclip_') and 'tiny' not in n]


@pytest.fixture(autouse=True, scope='module')
def scope():
    init_default_scope('mmaction')


@cache
def counted(arch: str, data: str, frames: int) -> tuple[Config, costs.Costs]:
    config = Config(costs.load(f'tdsclip_vit-{arch[0]}_{data}').to_dict())
    config.model.backbone.trunk.arch = f'vit-{arch}'
    for step in costs.steps_of(config):
        if 'clip_len' in step:
            step['clip_len'] = frames
    return config, costs.costs(config)


@pytest.mark.parametrize('case', COUNTED, ids=str)
@pytest.mark.slow
def test_counts_are_those_of_the_authors_code(case):
    """Their trunk has no last norm. They make no query of the class token, which nobody reads."""
    config, found = counted(*case)
    dims = 1024 if case[0] == 'l-p14' else 768
    width, layers = config.model.backbone.side_dims, 24 if dims == 1024 else 12
    queries = case[2] * layers * width**2
    tuned, total, operations = COUNTED[case]
    assert (found.tuned, found.total - 2 * dims) == (tuned, total)
    assert round((found.full - queries) / 1e9, 1) == operations


@pytest.mark.slow
def test_over_side4video_it_adds_a_stem_and_gates():
    for size, more in (('b', 2_950_080 + 161_760), ('l', 3_614_208 + 812_544)):
        ours, theirs = (costs.costs(costs.load(f'{m}_vit-{size}_ssv2')) for m in METHODS)
        assert ours.tuned - theirs.tuned == more


@pytest.mark.parametrize('stem', STEMS)
def test_the_released_recipe(stem):
    config, data = costs.load(stem), stem.split('_')[2]
    size = stem.split('_')[1]
    train = config.train_dataloader
    assert (train.batch_size, train.dataset.num_sample) == (16, 2)
    assert config.auto_scale_lr.base_batch_size == 128
    assert config.optim_wrapper.optimizer.lr == (1e-3 if size == 'vit-b' else 1e-4)
    assert config.optim_wrapper.optimizer.weight_decay == 0.15
    assert config.train_cfg.max_epochs == (40 if (size, data) == ('vit-b', 'ssv1') else 30)
    assert costs.views_of(config) == ((4, 3) if data == 'k400' else (2, 3))
    kinds = [step.type.rpartition('.')[2] for step in train.dataset.pipeline]
    assert ('RandAugment' in kinds) == (data != 'k400')
    assert ('RawframeDataset' in train.dataset.type) == (data == 'ssv1')


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader', 'test_dataloader'])
@pytest.mark.parametrize('stem', STEMS)
def test_neighbours_are_the_only_step_that_side4video_has_not(stem, loader):
    ours, theirs = (
        [dict(step) for step in costs.load(name)[loader].dataset.pipeline]
        for name in (stem, stem.replace(*METHODS))
    )
    sampling = next(i for i, step in enumerate(ours) if 'clip_len' in step)
    assert ours.pop(sampling + 1) == dict(type='mmstadapter.AddNeighbours', num_diff=5)
    assert ours == theirs


def test_the_released_way_of_reading_files_is_one_option():
    config = Config(costs.load('tdsclip_vit-b_k400').to_dict())
    config.merge_from_dict({'test_dataloader.dataset.steps.AddNeighbours.before_first': 'last'})
    steps = prepare(config)[0].test_dataloader.dataset.pipeline
    [step] = [step for step in steps if step.type.endswith('AddNeighbours')]
    assert step.before_first == 'last' and step.num_diff == 5


@pytest.mark.slow
def test_the_page_shows_these_counts():
    page = (ROOT / 'docs/tds_clip.md').read_text()
    rows = re.findall(r'\| ([\d,]+) \| ([\d.]+) \| [\d.—]+ \| `(\w+-\w+)\.py`', page)
    assert len(rows) == len(STEMS)
    for tuned, operations, stem in rows:
        found = costs.costs(costs.load(stem))
        assert f'{found.tuned:,}' == tuned and f'{found.full / 1e9:.1f}' == operations


@pytest.mark.slow
def test_mims_index_says_the_same():
    file = ROOT / 'configs/tdsclip-metafile.yml'
    models = {m['Name']: m['Metadata'] for m in yaml.safe_load(file.read_text())['Models']}
    assert models.keys() == set(STEMS)
    for stem, notes in models.items():
        config = costs.load(stem)
        assert notes['Tuned Parameters'] == costs.costs(config).tuned
        assert notes['Frames'] == costs.frames_of(config)
        assert notes['Epochs'] == config.train_cfg.max_epochs
        assert notes['Batch Size'] == config.auto_scale_lr.base_batch_size
