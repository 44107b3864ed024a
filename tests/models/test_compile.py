"""torch.compile makes one graph of an encoder, with the numbers of eager mode.

tests/contract/test_tool_matrix.py compiles every kind of model; here is what differs beside that.
"""

from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch._functorch import config

from mmstadapter.models.ops.devices import forms_of
from mmstadapter.testing import fill, tiny_retriever, tiny_trunk, toy_clips, toy_samples


@pytest.fixture(autouse=True)
def settings():
    """What the runner tells the compiler ends with the test."""
    kept = ('ban_recompute_materialized_backward', 'ban_recompute_not_in_allowlist')
    with config.patch({name: getattr(config, name) for name in kept}):
        yield


def recogniser(**options):
    """ST-Adapter with a head, as a config has it."""
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=tiny_trunk(), bottleneck_dims=8)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=5, dropout_ratio=0.0)
    return fill(MODELS.build(dict(type='Recognizer3D', backbone=backbone | options, cls_head=head)))


CLOSE = dict(rtol=1e-4, atol=1e-4)  # a compiler is given the formulas of the lean forms
BESIDE = dict(trunk=tiny_trunk(), with_cp=True, frames_per_pass=3)  # the layers beside a trunk


def feature_and_gradients(model):
    feature = model(toy_clips())
    tuned = [p for p in model.parameters() if p.requires_grad]
    return feature, torch.autograd.grad(feature.square().sum(), tuned)


def loss_and_gradients(model):
    clips = toy_clips()[:, None]
    loss = model(clips, toy_samples(), mode='loss')['loss_cls']
    tuned = [p for p in model.parameters() if p.requires_grad]
    return loss, torch.autograd.grad(loss, tuned)


@pytest.mark.parametrize(
    'options, backend',
    [
        ({}, 'inductor'),
        (dict(with_cp=True), 'aot_eager'),
        (dict(kernel_size=(3, 3, 3)), 'aot_eager'),
    ],
    ids=['inductor', 'recomputed', 'space-time'],
)
@pytest.mark.slow
@pytest.mark.processes
def test_a_recogniser_trains_and_predicts_the_same(options, backend):
    model = recogniser(**options)
    expected = loss_and_gradients(model)
    scores = model.eval()(toy_clips()[:, None], mode='tensor')
    model.train().backbone.compile(fullgraph=True, backend=backend)
    torch.testing.assert_close(loss_and_gradients(model), expected, **CLOSE)
    with torch.no_grad():
        outcome = model.eval()(toy_clips()[:, None], mode='tensor')
    torch.testing.assert_close(outcome, scores, **CLOSE)


@pytest.mark.parametrize(
    'options',
    [
        dict(type='mmstadapter.AIMViT', time_in=True),
        dict(type='mmstadapter.AIMViT', with_cp=True, drop_path_over='frame'),
        dict(type='mmstadapter.ZeroI2VViT', shifts=[(-1, 8), (2, 16)], dropout=0.0),
        dict(type='mmstadapter.ZeroI2VViT', adapters=('attn_qkv',), dropout=0.0, with_cp=True),
        dict(type='mmstadapter.EVLViT', blocks='last_2', dropout=0.0, **BESIDE),
        dict(type='mmstadapter.TempMeViT', merge_layers=[1], merge_frames=[2], with_cp=True),
        dict(type='mmstadapter.DiSTViT', dims=16, temporal_dims=8, output_dims=24, **BESIDE),
    ],
    ids=['aim', 'aim-recomputed', 'zeroi2v', 'zeroi2v-recomputed', 'evl', 'temp_me', 'dist'],
)
@pytest.mark.slow
def test_comparators_are_one_graph(options):
    model = fill(MODELS.build(dict(trunk=tiny_trunk(tune='after_blocks'), num_frames=4) | options))
    expected = feature_and_gradients(model)
    model.compile(fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(feature_and_gradients(model), expected, **CLOSE)


@pytest.mark.slow
def test_a_branch_that_is_dropped_at_random_is_one_graph_too():
    backbone = dict(type='mmstadapter.AIMViT', trunk=tiny_trunk(), drop_path_rate=0.5)
    model = MODELS.build(backbone).train()
    model.compile(fullgraph=True, backend='aot_eager')
    model(toy_clips()).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def run_by_the_runner(model, **compile_options):
    """What MMEngine's runner does with ``compile`` of a config before it trains."""
    logger = MMLogger.get_instance('compile')
    cfg = Config(dict(compile=dict(backend='eager', fullgraph=True) | compile_options))
    Runner._maybe_compile(SimpleNamespace(cfg=cfg, model=model, logger=logger), 'train_step')


def test_the_field_compile_of_a_config_compiles_the_encoders():
    for model, parts in (
        (recogniser(), ['backbone']),
        (MODELS.build(tiny_retriever()), ['backbone', 'text_tower']),
    ):
        names = list(model.state_dict())
        run_by_the_runner(model)
        assert all(getattr(model, part)._compiled_call_impl for part in parts)
        assert list(model.state_dict()) == names


@pytest.mark.slow
def test_a_compiled_backbone_keeps_no_more_than_its_recompute_says():
    sizes = {}
    for step in ('nothing', 'elementwise'):
        torch._dynamo.reset()
        model = recogniser(recompute=step)
        run_by_the_runner(model, backend='aot_eager_decomp_partition')
        kept: dict[int, int] = {}
        with (
            torch.autograd.graph.saved_tensors_hooks(
                lambda t, kept=kept: kept.update({t.data_ptr(): t.nbytes}) or t, lambda t: t
            ),
            forms_of('cuda'),
        ):
            model.backbone(toy_clips())
        weights = {p.data_ptr() for p in model.parameters()}
        sizes[step] = sum(size for at, size in kept.items() if at not in weights)
    assert sizes['elementwise'] < 0.9 * sizes['nothing']


def test_other_models_are_left_to_mmengine():
    model = torch.nn.Linear(2, 2)
    model.train_step = plain = lambda data: data
    run_by_the_runner(model)
    assert model._compiled_call_impl is None and model.train_step is not plain
