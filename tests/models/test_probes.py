"""Several probes on one pass of a trunk: each is what it would be alone, and one is chosen."""

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmaction.structures import ActionDataSample
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmstadapter.testing import fill, tiny_trunk, toy_clips, toy_samples

LRS, DECAYS = (3e-3, 1e-3), (0.01, 0.8)
RATES = {f'lr{lr}_wd{wd}': (lr, wd) for wd in DECAYS for lr in LRS}


def together(**backbone) -> nn.Module:
    """A model of four probes; all of their weights are different."""
    config = dict(type='mmstadapter.ProbeViT', trunk=tiny_trunk(), depth=2, num_heads=2)
    head = dict(in_channels=32, num_classes=5, lrs=LRS, weight_decays=DECAYS)
    model = dict(
        type='Recognizer3D',
        backbone=config | dict(num_probes=4) | backbone,
        cls_head=dict(type='mmstadapter.ProbesHead') | head,
    )
    return fill(MODELS.build(model))


def alone(model: nn.Module, i: int) -> nn.Module:
    """Probe i of that model, in a model of its own."""
    backbone = dict(type='mmstadapter.ProbeViT', trunk=tiny_trunk(), depth=2, num_heads=2)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=5, dropout_ratio=0.0)
    solo = MODELS.build(dict(type='Recognizer3D', backbone=backbone, cls_head=head))
    solo.backbone.trunk.load_state_dict(model.backbone.trunk.state_dict())
    solo.backbone.probes[0].load_state_dict(model.backbone.probes[i].state_dict())
    solo.cls_head.load_state_dict(model.cls_head.heads[i].state_dict())
    return solo


def optimizer(
    model: nn.Module, lr: float = 0.5, decay: float = 0.5, kind='Tuned', rule=None, **options
):
    config = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=lr, weight_decay=decay), **options
    )
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get(f'{kind}OptimWrapperConstructor')
    return constructor(config, rule)(model)


def scores(model: nn.Module, clips: torch.Tensor | None = None) -> torch.Tensor:
    return model.cls_head(model.backbone(toy_clips() if clips is None else clips))


def train(model: nn.Module, wrapper, steps: int = 3) -> None:
    for step in range(steps):
        clips = toy_clips(seed=step)[:, None]
        losses = model(clips, toy_samples(), mode='loss')
        wrapper.update_params(sum(v for k, v in losses.items() if 'loss' in k))


def test_each_becomes_what_it_becomes_alone():
    model = together()
    solos = [alone(model, i) for i in range(4)]
    train(model, optimizer(model, kind='Probes'))
    for i, (solo, (lr, decay)) in enumerate(zip(solos, RATES.values(), strict=True)):
        train(solo, optimizer(solo, lr, decay))
        torch.testing.assert_close(
            dict(solo.backbone.probes[0].state_dict()),
            dict(model.backbone.probes[i].state_dict()),
        )
        torch.testing.assert_close(
            dict(solo.cls_head.state_dict()), dict(model.cls_head.heads[i].state_dict())
        )
        torch.testing.assert_close(scores(solo.eval()), scores(model.eval())[:, i])


def test_the_trunk_runs_once():
    model, passes = together(), []
    model.backbone.trunk.ln_pre.register_forward_hook(lambda *_: passes.append(1))
    model(toy_clips()[:, None], toy_samples(), mode='loss')
    assert len(passes) == 1


def test_every_tensor_of_a_probe_has_its_rates():
    model = together()
    groups = optimizer(model, kind='Probes').optimizer.param_groups
    assert [(g['lr'], g['weight_decay']) for g in groups] == list(RATES.values())
    for i, group in enumerate(groups):
        own = {*model.backbone.probes[i].parameters(), *model.cls_head.heads[i].parameters()}
        assert set(group['params']) == own


def test_rules_multiply_the_rates_and_a_tuned_trunk_has_the_optimizers():
    model = together(trunk=tiny_trunk(tune='norm'))
    rule = dict(bias_decay_mult=0.0)
    groups = optimizer(model, kind='Probes', rule=rule).optimizer.param_groups
    rates = {(g['lr'], g['weight_decay']) for g in groups}
    expected = {(lr, kept * wd) for lr, wd in (*RATES.values(), (0.5, 0.5)) for kept in (0.0, 1.0)}
    assert rates <= expected and set(RATES.values()) | {(0.5, 0.5)} <= rates


@pytest.mark.parametrize(
    ('changes', 'options', 'message'),
    [
        (dict(num_probes=3), {}, 'as many pairs of rates as there are probes'),
        ({}, dict(clip_grad=dict(max_norm=1.0)), 'norm of all probes together'),
    ],
)
def test_what_would_tie_or_mix_them_up_is_refused(changes, options, message):
    with pytest.raises(ValueError, match=message):
        optimizer(together(**changes), kind='Probes', **options)


def test_other_numbers_of_probes_and_rates_are_refused():
    with pytest.raises(ValueError, match=r'4 pairs of rates .* backbone has 3.*num_probes=4'):
        scores(together(num_probes=3))
    head = dict(type='mmstadapter.ProbesHead', in_channels=32, num_classes=5)
    for rates in (dict(lrs=()), dict(lrs=(1e-3, 1e-3)), dict(weight_decays=(-0.1,))):
        with pytest.raises(ValueError, match='lists of different numbers'):
            MODELS.build(head | rates)
    assert len(MODELS.build(head).rates) == 20


def predicted(model: nn.Module, views: int = 1) -> list[ActionDataSample]:
    clips = toy_clips(6 * views).unflatten(0, (6, views))
    with torch.no_grad():
        return model.eval()(clips, toy_samples(6), mode='predict')


def test_views_of_a_video_are_averaged_for_each_probe():
    model = together(num_segments=2)
    samples = predicted(model, views=4)  # two squares of two segments
    expected = scores(model, toy_clips(24)).softmax(-1).unflatten(0, (6, 2)).mean(dim=1)
    for i, name in enumerate(RATES):
        found = torch.stack([sample.tasks[name].pred_score for sample in samples])
        torch.testing.assert_close(found, expected[:, i])


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    lines: list[str] = []
    logger = MMLogger.get_instance('probes')
    monkeypatch.setattr(logger, 'handle', lambda record: lines.append(record.getMessage()))
    return lines


def test_the_best_is_chosen_on_the_videos_it_is_measured_on_which_is_said(said):
    samples = predicted(together())
    evaluator = Runner.build_evaluator(None, dict(type='mmstadapter.ProbesMetric'))
    evaluator.process(samples)
    found = evaluator.evaluate(6)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    for name in RATES:
        given = torch.stack([sample.tasks[name].pred_score for sample in samples])
        right = (given.argmax(-1) == labels).double().mean().item()
        assert found[f'{name}/acc/top1'] == pytest.approx(right)
    best = max(RATES, key=lambda name: found[f'{name}/acc/top1'])
    assert found['best_of_probes/acc/top1'] == found[f'{best}/acc/top1']
    assert next(iter(found)) == 'best_of_probes/acc/top1'  # what save_best='auto' takes
    assert 'best_of_probes/acc/top5' in found
    (line,) = (line for line in said if 'The best of' in line)
    assert f'best of 4 probes, {best}, was chosen on the 6 videos it is measured on' in line


def test_a_result_that_is_not_there_cannot_choose():
    evaluator = Runner.build_evaluator(None, dict(type='mmstadapter.ProbesMetric', key='acc/top9'))
    evaluator.process(predicted(together()))
    with pytest.raises(ValueError, match="key 'acc/top9' is none of the results"):
        evaluator.evaluate(6)
