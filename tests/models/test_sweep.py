"""A sweep: each branch is what it would be alone, and a table says what became of all."""

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.config import Config
from torch import nn

from mmstadapter import SharedTrunkViT, shipped
from mmstadapter.engine.sweep_table import CHOSEN, SweepTableHook, table
from mmstadapter.evaluation import SweepMetric
from mmstadapter.models.backbones.grid import runs_of
from mmstadapter.planning.step import TrainingStep
from mmstadapter.testing import tiny_trunk, toy_clips, toy_samples

SIDE = dict(type='mmstadapter.SideNetwork', head_dims=8)
PLAIN = dict(plain=dict(SIDE, side_dims=8))
BRANCHES = dict(side=SIDE, linear=dict(type='mmstadapter.FrameMean')) | PLAIN
GRIDS = dict(
    side=dict(side_dims=[8, 16], lr=[1e-3, 4e-3]), linear=dict(lr=[2e-3], weight_decay=[0.5])
)
NAMES = ['side_side_dims8_lr0.001', 'side_side_dims8_lr0.004', 'side_side_dims16_lr0.001']
NAMES += ['side_side_dims16_lr0.004', 'linear_lr0.002_wd0.5', 'plain']
RATES = [(1e-3, 0.1), (4e-3, 0.1), (1e-3, 0.1), (4e-3, 0.1), (2e-3, 0.5), (3e-3, 0.1)]
SOLOS = [dict(type='mmstadapter.Side4VideoViT', head_dims=8, side_dims=d) for d in (8, 8, 16, 16)]
SOLOS += [dict(type='mmstadapter.FrameMeanViT'), SOLOS[0]]


def built(model: dict) -> nn.Module:
    """The model that a run of seed 0 builds."""
    torch.manual_seed(0)
    return MODELS.build(model).train()


def sweep(branches: dict = BRANCHES, **backbone) -> dict:
    grids = {name: grid for name, grid in GRIDS.items() if name in branches}
    shared = dict(type='mmstadapter.SharedTrunkViT', trunk=tiny_trunk(), grids=grids)
    shared['branches'] = branches
    head = dict(type='mmstadapter.SweepHead', num_classes=5)
    return dict(type='mmstadapter.SweepRecognizer', backbone=shared | backbone, cls_head=head)


def solo(backbone: dict) -> dict:
    width = backbone.get('side_dims', 32)
    head = dict(type='mmstadapter.VideoHead', num_classes=5, dropout_ratio=0.0, init_std=None)
    parts = dict(backbone=backbone | dict(trunk=tiny_trunk()), cls_head=head)
    parts['cls_head']['in_channels'] = width
    return dict(type='Recognizer3D', **parts)


def train(model: nn.Module, lr: float, decay: float, kind: str = 'Tuned', **options) -> None:
    """Three steps."""
    optimizer = dict(type='AdamW', lr=lr, weight_decay=decay)
    config = dict(type='OptimWrapper', optimizer=optimizer, **options)
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.get(f'{kind}OptimWrapperConstructor')(config)(model)
    for step in range(3):
        losses = model(toy_clips(seed=step)[:, None], toy_samples(), mode='loss')
        wrapper.update_params(sum(v for k, v in losses.items() if 'loss' in k))


@pytest.mark.slow
def test_each_becomes_what_it_becomes_alone_with_the_same_seed():
    together = built(sweep())
    train(together, 3e-3, 0.1, 'Probes')
    branches, heads = together.backbone.branches.values(), together.cls_head.heads
    for i, (branch, head) in enumerate(zip(branches, heads, strict=True)):
        alone = built(solo(SOLOS[i]))
        train(alone, *RATES[i])
        own = getattr(alone.backbone, 'side', nn.Identity())
        torch.testing.assert_close(dict(branch.state_dict()), dict(own.state_dict()))
        torch.testing.assert_close(dict(head.state_dict()), dict(alone.cls_head.state_dict()))
        with torch.no_grad():
            scores = together.eval().cls_head(together.backbone(toy_clips()))[NAMES[i]]
            expected = alone.eval().cls_head(alone.backbone(toy_clips()))
        torch.testing.assert_close(scores, expected)


def test_the_trunk_runs_once():
    model, passes = built(sweep()), []
    model.backbone.trunk.ln_pre.register_forward_hook(lambda *_: passes.append(1))
    model(toy_clips()[:, None], toy_samples(), mode='loss')
    assert len(passes) == 1


def test_gradients_that_are_clipped_together_are_refused():
    with pytest.raises(ValueError, match='one would change the others'):
        train(built(sweep()), 1e-3, 0.1, 'Probes', clip_grad=dict(max_norm=1.0))


@pytest.mark.parametrize(
    ('grid', 'message'),
    [
        (dict(side_dims=16), r'grids.side.side_dims must be a list of different values, got 16'),
        (dict(lr=[]), 'must be a list of different values'),
        (dict(lr=[1e-3, 1e-3]), 'must be a list of different values'),
        (dict(lr=['fast']), r"must hold numbers from 0, got \['fast'\]"),
        (dict(weight_decay=[-1]), r'must hold numbers from 0, got \[-1\]'),
        (
            dict(widths=[8]),
            'grids.side.widths: mmstadapter.SideNetwork has no such option. Known: lr',
        ),
    ],
)
def test_a_grid_that_is_none_is_refused(grid, message):
    with pytest.raises(ValueError, match=message):
        SharedTrunkViT(tiny_trunk(), dict(side=SIDE), grids=dict(side=grid))


def test_a_grid_of_no_branch_is_refused():
    with pytest.raises(ValueError, match='grids of sid, and the branches are side'):
        SharedTrunkViT(tiny_trunk(), dict(side=SIDE), grids=dict(sid=dict(lr=[1e-3])))


def test_a_branch_without_a_grid_is_one_run_and_layers_can_be_swept():
    runs = runs_of(dict(a=PLAIN['plain'], b=SIDE), dict(b=dict(layers=['all', [0, 2]])))
    named = {key: run.name for key, run in runs.items()}
    assert named == {'a': 'a', 'b_0': 'b_layersall', 'b_1': 'b_layers[0,2]'}
    assert runs['b_1'].branch == dict(SIDE, layers=[0, 2]) and runs['b_1'].lr is None


@pytest.mark.slow
@pytest.mark.parametrize('options', [dict(recompute='block'), dict(with_cp=True)])
def test_one_field_says_what_all_branches_compute_again(options):
    plain, less = built(sweep()), built(sweep(**options))
    assert less.backbone.recompute == 'block'
    steps = {name: getattr(b, 'recompute', 'block') for name, b in less.backbone.branches.items()}
    assert set(steps.values()) == {'block'}
    for model in (plain, less):
        train(model, 3e-3, 0.1, 'Probes')
    torch.testing.assert_close(less.state_dict(), plain.state_dict())
    assert built(sweep()).backbone.branches['plain'].recompute == 'elementwise'


@pytest.fixture
def found() -> dict[str, float]:
    """Results of a validation, the third run the best."""
    model = built(sweep()).eval()
    with torch.no_grad():
        samples = model(toy_clips()[:, None], toy_samples(), mode='predict')
    metric = SweepMetric()
    metric.process(None, [sample.to_dict() for sample in samples])
    keys = set(metric.compute_metrics(metric.results))
    assert {f'{name}/acc/top1' for name in NAMES} | {'best_of_sweep/acc/top1'} <= keys
    values = (0.5, 0.25, 0.75, 0.75, 0.0, 0.5)
    return {f'{name}/acc/top1': value for name, value in zip(NAMES, values, strict=True)}


class TestTheTable:
    def test_it_holds_rates_width_parameters_and_figure_and_marks_the_first_best(self, found):
        model = built(sweep())
        rows = table(model, found, dict(lr=3e-3, weight_decay=0.1), 'acc/top1')
        assert [row[0] for row in rows] == NAMES
        assert [(float(row[1]), float(row[2])) for row in rows] == RATES
        assert [row[3] for row in rows] == ['8', '8', '16', '16', '32', '8']
        assert rows[4][4:] == ['165', '0.0', ''] and rows[2][5:] == ['75.0', CHOSEN]
        assert [bool(row[-1]) for row in rows] == [False, False, True, False, False, False]
        side = sum(p.numel() for p in model.backbone.branches['side_2'].parameters())
        assert rows[2][4] == f'{side + 16 * 5 + 5:,}'

    def test_it_comes_after_training_and_after_a_test_and_not_without_figures(
        self, found, monkeypatch
    ):
        said = []
        monkeypatch.setattr(
            'mmstadapter.engine.sweep_table.print_log', lambda text, _: said.append(text)
        )
        hook = SweepTableHook()
        runner = type('Runner', (), dict(model=built(sweep()), cfg=Config(dict())))()
        hook.after_train(runner)
        assert not said
        hook.after_val_epoch(runner, found)
        hook.after_train(runner)
        assert len(said) == 1 and said[0].startswith('6 runs on one pass') and CHOSEN in said[0]
        hook.after_test_epoch(runner, found)
        assert len(said) == 2 and 'best on these videos' in said[1]


def test_rates_that_no_optimizer_reads_are_refused():
    with pytest.raises(ValueError, match='SweepHead states rates .*ProbesOptimWrapperConstructor'):
        train(built(sweep()), 1e-3, 0.1)
    train(built(sweep(PLAIN)), 1e-3, 0.1)


@pytest.mark.slow
def test_options_of_the_command_line_choose_the_grid():
    config = Config.fromfile(shipped.config('sweep_vit-tiny_demo-motion.py'))
    grid = 'model.backbone.grids.side.'
    config.merge_from_dict({f'{grid}side_dims': [32], f'{grid}lr': [1e-3, 2e-3, 3e-3, 4e-3]})
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert len(model.cls_head.heads) == 6 and list(model.cls_head.rates)[3].endswith('32_lr0.004')


@pytest.mark.slow
def test_a_sweep_is_planned_as_one_step():
    loader = dict(batch_size=2, dataset=dict(pipeline=[dict(type='SampleFrames', clip_len=4)]))
    accounts = []
    for branches in (PLAIN, BRANCHES):
        step = TrainingStep(Config(dict(model=sweep(branches), train_dataloader=loader)))
        accounts.append(step.account())
    one, all_of_them = accounts
    assert one.frozen == pytest.approx(all_of_them.frozen, rel=0.05)  # running statistics beside
    assert 2 * one.tuned < all_of_them.tuned
