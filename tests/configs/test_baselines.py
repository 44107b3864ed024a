"""The baselines of ST-Adapter's Table 1: tuned parameters beside the paper's column, rates."""

import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.config import Config
from torch import nn

from mmstadapter import shipped

CONFIGS = shipped.root() / 'configs'

# Tuned parameters with 400 classes, the paper's millions, whether those include the classifier.
TABLE = {
    'full_vit-b': (86_107_024, '86.11', True),
    'timesformer_vit-b': (121_567_120, '121.57', True),
    'xvit_vit-b': (93_793_936, '93.79', True),
    'partial_vit-b': (7_397_008, '7.40', True),
    'partial_vit-b-timesformer': (10_357_648, '10.36', True),
    'prompt_vit-b': (1_487_248, '1.18', False),
    'attnpool_vit-b': (2_672_272, '2.36', False),
    'linear_vit-b': (307_600, '0.31', True),
    'temporal_vit-b': (35_767_696, '35.8', True),
    'bitfit_vit-b': (410_512, '0.41', True),
    'stadapter_vit-b': (7_417_744, '7.42', True),
}
CLASSIFIER = {'k400': 768 * 400 + 400, 'ssv2': 768 * 174 + 174}


def load(name: str, data: str) -> tuple[Config, nn.Module]:
    config = Config.fromfile(CONFIGS / f'{name}_{data}.py')
    with torch.device('meta'):
        return config, MODELS.build(config.model)


def tuned(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('name', TABLE)
@pytest.mark.sweep
def test_tuned_parameters_are_those_of_the_papers_column(name):
    count, paper, with_classifier = TABLE[name]
    assert tuned(load(name, 'k400')[1]) == count
    compared = count if with_classifier else count - CLASSIFIER['k400']
    digits = len(paper.split('.')[1])
    assert f'{compared / 1e6:.{digits}f}' == paper


@pytest.mark.parametrize('name', [n for n in TABLE if n != 'stadapter_vit-b'])
@pytest.mark.sweep
def test_both_data_sets_tune_the_same_but_for_the_classifier(name):
    counts = {data: tuned(load(name, data)[1]) - CLASSIFIER[data] for data in CLASSIFIER}
    assert counts['k400'] == counts['ssv2']


def test_the_document_shows_these_counts_and_figures():
    rows = re.findall(r'`(\S+)_\*\.py` \| ([\d,]+) \| ([\d.]+) M', read_document())
    shown = {name: (int(count.replace(',', '')), paper) for name, count, paper in rows}
    assert shown == {name: row[:2] for name, row in TABLE.items()}


def read_document() -> str:
    return (Path(__file__).parents[2] / 'docs' / 'baselines.md').read_text()


@pytest.mark.parametrize('name', ['full_vit-b', 'timesformer_vit-b', 'xvit_vit-b'])
def test_a_trunk_that_is_tuned_whole_learns_at_a_hundredth(name):
    config, model = load(name, 'k400')
    groups = optimizer_groups(config, model)
    trunk = {id(p) for p in model.backbone.trunk.parameters()}
    assert len(trunk) == 151
    for group in groups:
        inside = {id(p) in trunk for p in group['params']}
        assert len(inside) == 1
        factor = 0.01 if inside == {True} else 1
        assert group['lr'] == pytest.approx(factor * config.optim_wrapper.optimizer.lr)
        assert group['weight_decay'] in (0, pytest.approx(factor * 0.01))


@pytest.mark.parametrize(
    'name', ['linear_vit-b', 'partial_vit-b', 'bitfit_vit-b', 'temporal_vit-b']
)
def test_the_others_learn_at_one_rate(name):
    config, model = load(name, 'k400')
    assert {group['lr'] for group in optimizer_groups(config, model)} == {7.5e-4}


def optimizer_groups(config: Config, model: nn.Module) -> list[dict]:
    settings = {k: v for k, v in config.optim_wrapper.items() if k != 'constructor'}
    settings['type'] = 'OptimWrapper'  # the groups alone matter here, not the precision
    paramwise = settings.pop('paramwise_cfg')
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type=config.optim_wrapper.constructor,
            optim_wrapper_cfg=settings,
            paramwise_cfg=paramwise,
        )
    )
    return constructor(model).optimizer.param_groups
