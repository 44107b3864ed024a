"""`memory = 'auto'`: as little is recomputed as fits, and the log says what and why."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmstadapter import shipped
from mmstadapter.checks import ConfigError, prepare
from mmstadapter.engine import memory
from mmstadapter.engine.memory import MemoryHook
from mmstadapter.planning import TrainingStep
from mmstadapter.planning.account import GB
from mmstadapter.planning.choosing import cheapest_step
from mmstadapter.planning.settings import changed
from mmstadapter.testing import tiny_trunk

pytestmark = pytest.mark.slow
STEPS = ('nothing', 'elementwise', 'mlp', 'attention', 'block')


def config(backbone: dict | None = None, **fields) -> Config:
    """Thirty-two clips of eight frames a step."""
    given = dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8) | (backbone or {})
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=5)
    model = dict(type='Recognizer3D', backbone=given | dict(trunk=tiny_trunk()), cls_head=head)
    steps = [dict(type='mmstadapter.SampleSegments', clip_len=8)]
    loader = dict(batch_size=32, dataset=dict(pipeline=steps))
    return Config(dict(model=model, train_dataloader=loader, **fields))


@pytest.fixture(scope='module')
def peaks() -> dict[str, int]:
    def peak(step: str) -> int:
        return TrainingStep(changed(config(), {'model.backbone.recompute': step})).account().peak

    return {step: peak(step) for step in STEPS}


def run(cfg: Config, caplog) -> tuple[nn.Module, str]:
    """The backbone before training begins, and what the log says."""
    model = MODELS.build(cfg.model)
    logger = logging.getLogger('memory')
    runner = SimpleNamespace(cfg=cfg, model=model, logger=logger, world_size=1)
    with caplog.at_level(logging.INFO, 'memory'):
        MemoryHook().before_train(runner)
    return model.backbone, caplog.text


def test_the_cheapest_step_that_fits_is_taken(peaks, caplog):
    for step in STEPS[:-1]:
        backbone, said = run(config(memory=(peaks[step] + 0.5) / GB), caplog)
        assert backbone.recompute == step
        assert f'memory: recompute={step!r}, a step takes ' in said
    before = ', '.join(f'{step} {peaks[step] / GB:.2f}' for step in STEPS[:3])
    assert f'{before} GB would not fit' in said


def test_auto_goes_by_what_the_device_has_free(peaks, caplog, monkeypatch):
    monkeypatch.setattr(memory, 'free_memory', lambda model: float(peaks['mlp']))
    backbone, said = run(config(dict(recompute='block'), memory='auto'), caplog)
    assert backbone.recompute == 'mlp' and 'free on this CPU; nothing 0.02' in said


def test_with_room_enough_everything_is_kept(caplog):
    backbone, said = run(config(memory='auto'), caplog)
    assert backbone.recompute == 'nothing' and 'there is room to keep everything' in said


def test_what_does_not_fit_at_all_says_what_to_change(peaks, caplog):
    small = cheapest_step(config(), 0)
    assert small.step == min(peaks, key=peaks.get) == 'attention'  # of only three blocks
    small, what = small.training, "not even recompute='attention' fits: 32 videos a step .* 3 fit"
    with pytest.raises(ValueError, match=what):
        run(config(memory=small.account(3).peak / GB), caplog)
    with pytest.raises(ValueError, match='Not even one fits, .* are weights'):
        run(config(memory=1e-6), caplog)


def test_a_backbone_without_the_choice_is_let_in_or_refused(caplog):
    cfg = config(memory='auto')
    cfg.model.backbone = dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk(tune='all'))
    assert 'this backbone has no choice of recompute' in run(cfg, caplog)[1]
    cfg.memory = 1e-6
    with pytest.raises(ValueError, match='memory: the training does not fit'):
        run(cfg, caplog)


def test_what_cannot_be_planned_is_refused(caplog):
    cfg = config(memory='auto')
    cfg.train_dataloader.dataset.pipeline = []
    with pytest.raises(ValueError, match="memory='auto': .* cannot be planned: .*clip_len"):
        run(cfg, caplog)


def test_planning_draws_no_random_number(caplog):
    cfg, state = config(memory='auto'), torch.get_rng_state()
    model = MODELS.build(cfg.model)
    state = torch.get_rng_state()
    MemoryHook.choose(SimpleNamespace(cfg=cfg, model=model, world_size=1), 1e12)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_field_brings_the_hook_and_its_value_is_looked_at():
    given = Config.fromfile(shipped.config('stadapter_vit-tiny_demo-digit.py'))
    assert 'memory' not in prepare(given)[0].default_hooks
    given.memory = 'auto'
    assert prepare(given)[0].default_hooks.memory == dict(type='mmstadapter.MemoryHook')
    given.memory = 'all'
    with pytest.raises(ConfigError, match=r"memory: must be 'auto', or GB above 0, got 'all'"):
        prepare(given)
