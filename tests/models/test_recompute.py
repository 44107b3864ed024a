"""Linear maps that make their input again give the numbers of those that keep it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmstadapter.models.ops import recompute
from mmstadapter.models.ops.batch_norm import BatchNormsAsNow, batch_norm
from mmstadapter.models.ops.elementwise import LayerNorm
from mmstadapter.models.ops.recompute import gelu_linear, norm_linear


def plain(norm, x, linear):
    return linear(norm(x.flatten(0, -2)).view_as(x))


def gelu_linear_of(norm, x, linear):
    return gelu_linear(batch_norm(norm, x), linear)


def plain_gelu(norm, x, linear):
    return linear(F.gelu(norm(x.flatten(0, -2)).view_as(x)))


PLAIN = {norm_linear: plain, gelu_linear_of: plain_gelu}


def run(function, norm, linear, x, dtype=None):
    """Output and gradients of a function of copies of its arguments."""
    norm, linear, x = copy.deepcopy(norm), copy.deepcopy(linear), x.clone().requires_grad_()
    with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
        out = function(norm, x, linear)
    (out.float() if dtype else out).square().sum().backward()
    grads = [x.grad, *(p.grad for m in (norm, linear) for p in m.parameters())]
    return [out, *grads, *norm.buffers()]


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('kind', [LayerNorm, nn.BatchNorm1d])
def test_a_normalised_map_is_the_plain_one(kind, training):
    torch.manual_seed(0)
    norm, linear, x = kind(6).train(training), nn.Linear(6, 4), torch.randn(2, 5, 6)
    nn.init.normal_(norm.weight)
    if kind is nn.BatchNorm1d:
        nn.init.normal_(norm.running_mean)
    for ours, theirs in zip(
        run(norm_linear, norm, linear, x), run(plain, norm, linear, x), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('training', [True, False])
def test_gradients_are_those_of_the_mode_and_statistics_of_the_forward_pass(training):
    torch.manual_seed(0)
    norm, linear, x = nn.BatchNorm1d(6), nn.Linear(6, 4), torch.randn(2, 5, 6)

    def and_on(norm, x, linear):
        out = norm_linear(norm.train(training), x, linear)
        batch_norm(norm.train(), x.detach() + 3)
        norm.train(not training)
        return out

    ours, expected = (run(f, norm.train(training), linear, x)[:-3] for f in (and_on, norm_linear))
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_under_autocast_it_is_the_plain_one_in_16_bit():
    torch.manual_seed(0)
    norm, linear, x = nn.BatchNorm1d(6), nn.Linear(6, 4), torch.randn(2, 5, 6).bfloat16()
    ours, theirs = (run(f, norm, linear, x, torch.bfloat16) for f in (norm_linear, plain))
    assert ours[0].dtype == torch.bfloat16 and ours[3].dtype == torch.float32
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=0.05, rtol=0.05)


def test_gelu_and_linear_keep_the_argument_of_gelu_alone():
    linear, u = nn.Linear(6, 4), torch.randn(3, 6, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        out = gelu_linear(u, linear)
    torch.testing.assert_close(out, linear(F.gelu(u)))
    rows = [t for t in kept if len(t) == 3]
    assert [t.data_ptr() for t in rows] == [u.data_ptr()]


def test_large_inputs_of_gelu_are_taken_in_pieces(monkeypatch):
    linear, u = nn.Linear(6, 4), torch.randn(3, 5, 6)
    whole = gelu_linear(u, linear)
    monkeypatch.setattr(recompute, 'PIECE', 20)
    torch.testing.assert_close(gelu_linear(u, linear), whole)


def test_batch_norm_of_tokens_is_that_of_volumes():
    torch.manual_seed(0)
    tokens, volume = nn.BatchNorm1d(6), nn.BatchNorm3d(6)
    x = torch.randn(2, 4, 9, 6)  # clips, frames, places, channels
    expected = volume(x.unflatten(2, (3, 3)).permute(0, 4, 1, 2, 3))
    ours = batch_norm(tokens, x).unflatten(2, (3, 3)).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(tokens.running_var, volume.running_var)
    assert torch.equal(tokens.num_batches_tracked, volume.num_batches_tracked)


def test_batch_norms_can_be_used_again_as_they_were():
    torch.manual_seed(0)
    norm, x = nn.BatchNorm1d(6).eval(), torch.randn(5, 6)
    expected, as_now = batch_norm(norm, x), BatchNormsAsNow(norm)
    batch_norm(norm.train(), x + 3)
    left = copy.deepcopy(norm.state_dict())
    for _ in range(2):
        with as_now:
            assert torch.equal(batch_norm(norm, x), expected)
    assert norm.training and all(torch.equal(left[k], v) for k, v in norm.state_dict().items())


def test_a_second_use_in_training_leaves_no_trace():
    norm = nn.BatchNorm1d(6)
    before = copy.deepcopy(norm.state_dict())
    with BatchNormsAsNow(norm):
        batch_norm(norm, torch.randn(5, 6))
    assert all(torch.equal(before[k], v) for k, v in norm.state_dict().items())


@pytest.mark.parametrize('function', [norm_linear, gelu_linear_of])
def test_gradients_are_exact_in_float64(function):
    torch.manual_seed(0)
    norm, linear = nn.BatchNorm1d(6).double(), nn.Linear(6, 4).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    ours, theirs = (run(f, norm, linear, x) for f in (function, PLAIN[function]))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
