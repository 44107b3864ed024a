"""Side4Video as one graph: torch.compile with fullgraph=True, training and inference."""

import pytest
import torch
from torch import nn

from mmstadapter import Side4VideoViT, VideoHead
from mmstadapter.testing import fill, tiny_trunk, toy_clips

FIELDS = [
    {},
    dict(norm='post', frames_per_pass=3),
    dict(with_cp=True),
    dict(temporal='attention', representation='side_cls', layers='interval'),
]


def build(training: bool, **fields) -> nn.Module:
    """Backbone and classifier on the tiny trunk."""
    backbone = Side4VideoViT(trunk=tiny_trunk(), side_dims=16, head_dims=8, **fields)
    return fill(nn.Sequential(backbone, VideoHead(16, 5, dropout_ratio=0.0))).train(training)


def step(model: nn.Module, run) -> dict[str, torch.Tensor]:
    """Scores, gradients and running statistics of a step."""
    scores = run(toy_clips())
    scores.square().sum().backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return dict(scores=scores.detach()) | grads | dict(model.named_buffers())


def assert_equal_numbers(ours: dict, theirs: dict) -> None:
    """Equal but for rounding: biases before a batch norm have gradients that are nothing else."""
    assert ours.keys() == theirs.keys()
    largest = max(t.abs().max().item() for t in theirs.values() if t.is_floating_point())
    for name, t in theirs.items():
        torch.testing.assert_close(ours[name], t, rtol=1e-4, atol=1e-6 * largest, msg=name)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('fields', FIELDS, ids=str)
@pytest.mark.slow
def test_one_graph_gives_the_numbers_of_the_modules(fields, training):
    plain, other = build(training, **fields), build(training, **fields)
    compiled = torch.compile(other, fullgraph=True, backend='aot_eager')
    assert_equal_numbers(step(other, compiled), step(plain, plain))


@pytest.mark.slow
def test_a_graph_of_inference_gives_the_scores_of_the_modules():
    model = build(False)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled(toy_clips()), model(toy_clips()), rtol=1e-4, atol=1e-4)


@pytest.mark.processes
@pytest.mark.slow
def test_fused_code_gives_the_numbers_of_the_modules():
    plain, other = build(True, layers='top_1'), build(True, layers='top_1')
    compiled = torch.compile(other, fullgraph=True)  # inductor
    assert_equal_numbers(step(other, compiled), step(plain, plain))
