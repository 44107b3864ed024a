"""The recipes of attentive probes: counts, rates and clips of V-JEPA 2's frozen evaluation."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

from mmstadapter import shipped
from mmstadapter.analysis import costs
from mmstadapter.engine.probes_optim import ProbesOptimWrapperConstructor

ROOT = Path(__file__).parents[2]
STEMS = [n[:-3] for n in shipped.configs() if n.startswith('probe_') and 'tiny' not in n]
# stem -> probes, clips of a video, frames, their distance, classes, epochs, videos a step
RECIPES = {
    'probe_vit-b_k400': (20, 1, 8, 16, 400, 20, 256),
    'probe_vit-b_ssv2': (20, 1, 8, None, 174, 20, 256),
    'probe_vit-b-one_k400': (1, 1, 8, 16, 400, 20, 256),
    'probe_vit-l16-vjepa2_ssv2_16f': (20, 2, 16, 4, 174, 20, 256),
    'probe_vit-l16-vjepa2_k400_16f': (20, 8, 16, 4, 400, 20, 256),
    'probe_vit-l16-vjepa2_diving48_32f': (3, 4, 32, 2, 48, 100, 128),
}
PROBE = {(768, 400): 28_069_264, (1024, 174): 49_514_670}  # parameters, spec


@pytest.fixture(autouse=True, scope='module')
def scope():
    init_default_scope('mmaction')


@cache
def read(stem: str) -> Config:
    return Config.fromfile(shipped.config(f'{stem}.py'))


def needs_library(stem: str) -> None:
    if 'vjepa2' in stem and find_spec('transformers') is None:
        pytest.skip('transformers is not installed')


def test_every_recipe_is_looked_at():
    assert STEMS == sorted(RECIPES)


@pytest.mark.parametrize('stem', RECIPES)
def test_clips_classes_and_lengths_are_the_released_ones(stem):
    config = read(stem)
    probes, segments, frames, distance, classes, epochs, videos = RECIPES[stem]
    backbone, head = config.model.backbone, config.model.cls_head
    assert backbone.get('num_probes', 1) == probes and head.num_classes == classes
    assert (backbone.depth, backbone.num_heads) == (4, 16)
    assert backbone.get('num_segments', 1) == segments
    assert len(head.get('lrs', [1])) * len(head.get('weight_decays', [1])) == probes
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        steps = config[loader].dataset.pipeline
        (step,) = (step for step in steps if 'clip_len' in step)
        assert (step.clip_len, step.get('frame_interval')) == (frames, distance)
        assert step.get('num_clips', 1) == segments
        assert not any(step.type == 'Flip' for step in steps)
    assert config.train_cfg.max_epochs == epochs
    assert config.auto_scale_lr.base_batch_size == videos
    (schedule,) = config.param_scheduler
    assert schedule.warmup == 0 and PARAM_SCHEDULERS.get(schedule.type)
    assert 'clip_grad' not in config.optim_wrapper
    assert config.optim_wrapper.optimizer.type == 'AdamW'


@pytest.mark.parametrize('stem', [stem for stem in RECIPES if RECIPES[stem][0] > 1])
def test_each_probe_has_its_rates_and_the_metric_chooses(stem):
    needs_library(stem)
    config = read(stem)
    assert config.val_evaluator.type == 'mmstadapter.ProbesMetric'
    with torch.device('meta'):
        model = MODELS.build(config.model)
    wrapper = config.optim_wrapper.to_dict()
    assert wrapper.pop('constructor').endswith(ProbesOptimWrapperConstructor.__name__)
    constructor = ProbesOptimWrapperConstructor(wrapper)
    groups = constructor(model).optimizer.param_groups
    lrs, decays = config.model.cls_head.lrs, config.model.cls_head.weight_decays
    found = {(group['lr'], group['weight_decay']) for group in groups}
    assert found == {(lr, decay) for lr in lrs for decay in decays}
    if RECIPES[stem][0] == 20:
        assert {lr for lr, _ in found} == {5e-3, 3e-3, 1e-3, 3e-4, 1e-4}
        assert {decay for _, decay in found} == {0.01, 0.1, 0.4, 0.8}


@pytest.mark.parametrize('stem', RECIPES)
def test_headers_say_that_the_best_was_chosen_where_it_is_measured(stem):
    header = ' '.join(shipped.config(f'{stem}.py').read_text().split('"""')[1].split())
    assert ('chosen on the validation videos it is measured on' in header) == (RECIPES[stem][0] > 1)


@pytest.mark.slow
def test_the_probe_costs_what_the_released_one_does():
    one, plain = (costs.costs(costs.load(f'{s}_k400')) for s in ('probe_vit-b-one', 'full_vit-b'))
    assert one.tuned == PROBE[768, 400]
    # The trunk's last block computes all tokens here, and the class token alone there.
    whole = 140.5  # GMACs of CLIP B/16 on 8 frames
    assert plain.full / 1e9 < whole and round(one.full / 1e9 - whole, 1) == 46.5
    twenty = costs.costs(costs.load('probe_vit-b_k400'))
    assert twenty.tuned == 20 * one.tuned
    assert twenty.full / 1e9 == pytest.approx(whole + 20 * 46.5, abs=1)


@pytest.mark.slow
def test_the_probe_on_v_jepa_2_costs_what_the_released_one_does():
    stem = 'probe_vit-l16-vjepa2_ssv2_16f'
    needs_library(stem)
    assert costs.costs(costs.load(stem)).tuned == 20 * PROBE[1024, 174]


def test_one_field_sets_frames_and_clips_of_data_and_model():
    config = read('probe_vit-l16-vjepa2_ssv2_16f').copy()
    config.merge_from_dict(dict(num_clips=3, clip_len=32))
    assert config.model.backbone.num_segments == 3
    steps = config.test_dataloader.dataset.pipeline
    assert [(s.clip_len, s.num_clips) for s in steps if 'clip_len' in s] == [(32, 3)]


def test_mims_index_says_the_same():
    file = ROOT / 'configs/probe-metafile.yml'
    models = {m['Name']: m['Metadata'] for m in yaml.safe_load(file.read_text())['Models']}
    assert sorted(models) == STEMS
    for stem, notes in models.items():
        probes, _, frames, _, classes, epochs, videos = RECIPES[stem]
        width = read(stem).model.cls_head.in_channels
        one = PROBE[768, 400] - 769 * 400 if width == 768 else PROBE[1024, 174] - 1025 * 174
        assert notes['Tuned Parameters'] == probes * (one + (width + 1) * classes)
        assert (notes['Frames'], notes['Epochs']) == (frames, epochs)
        assert notes['Batch Size'] == videos
