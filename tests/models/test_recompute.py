"""Linear maps that make their input again give the numbers of those that keep it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmstadapter.models.ops import recompute
from mmstadapter.models.ops.batch_norm import BatchNorm, BatchNormsAsNow, row_statistics
from mmstadapter.models.ops.elementwise import LayerNorm
from mmstadapter.models.ops.linear import Linear, gelu_linear
from mmstadapter.models.ops.recompute import recipe_of, remakeable
from mmstadapter.planning.meter import Meter


def norm_linear(norm, x, linear):
    return linear(norm(x))


def norm_gelu_linear(norm, x, linear):
    return gelu_linear(norm(x), linear)


def gelu(u):
    """GELU as a step that can be made again."""
    return remakeable(F.gelu, u)


def plain_norm(norm, x):
    """The same norm by PyTorch's functions, with the same parameters and buffers."""
    if isinstance(norm, LayerNorm):
        return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return nn.BatchNorm1d.forward(norm, x.flatten(0, -2)).view_as(x)


def plain(norm, x, linear):
    return F.linear(plain_norm(norm, x), linear.weight, linear.bias)


def plain_gelu(norm, x, linear):
    return F.linear(F.gelu(plain_norm(norm, x)), linear.weight, linear.bias)


PLAIN = {norm_linear: plain, norm_gelu_linear: plain_gelu}


def run(function, norm, linear, x, dtype=None):
    """Output and gradients of a function of copies of its arguments."""
    norm, linear, x = copy.deepcopy(norm), copy.deepcopy(linear), x.clone().requires_grad_()
    with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
        out = function(norm, x, linear)
    (out.float() if dtype else out).square().sum().backward()
    grads = [x.grad, *(p.grad for m in (norm, linear) for p in m.parameters())]
    return [out, *grads, *norm.buffers()]


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('kind', [LayerNorm, BatchNorm])
def test_a_normalised_map_is_the_plain_one(kind, training):
    torch.manual_seed(0)
    norm, linear, x = kind(6).train(training), Linear(6, 4), torch.randn(2, 5, 6)
    nn.init.normal_(norm.weight)
    if kind is BatchNorm:
        nn.init.normal_(norm.running_mean)
    for ours, theirs in zip(
        run(norm_linear, norm, linear, x), run(plain, norm, linear, x), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('training', [True, False])
def test_gradients_are_those_of_the_mode_and_statistics_of_the_forward_pass(training):
    torch.manual_seed(0)
    norm, linear, x = BatchNorm(6), Linear(6, 4), torch.randn(2, 5, 6)

    def and_on(norm, x, linear):
        out = norm_linear(norm.train(training), x, linear)
        norm.train()(x.detach() + 3)
        norm.train(not training)
        return out

    ours, expected = (run(f, norm.train(training), linear, x)[:-3] for f in (and_on, norm_linear))
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_under_autocast_it_is_the_plain_one_in_16_bit():
    torch.manual_seed(0)
    norm, linear, x = BatchNorm(6), Linear(6, 4), torch.randn(2, 5, 6).bfloat16()
    ours, theirs = (run(f, norm, linear, x, torch.bfloat16) for f in (norm_linear, plain))
    assert ours[0].dtype == torch.bfloat16 and ours[3].dtype == torch.float32
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=0.05, rtol=0.05)


def test_gelu_and_linear_keep_the_argument_of_gelu_alone():
    linear, u = Linear(6, 4), torch.randn(3, 6, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        out = gelu_linear(u, linear)
    torch.testing.assert_close(out, F.linear(F.gelu(u), linear.weight, linear.bias))
    rows = [t for t in kept if len(t) == 3]
    assert {t.data_ptr() for t in rows} == {u.data_ptr()}


def operations(function, *given) -> int:
    with Meter() as meter:
        function(*given)
    return sum(operator.operations for operator in meter.operators)


def test_a_checkpoint_around_gelu_and_linear_makes_neither_again():
    first, second, x = Linear(5, 6), Linear(6, 4), torch.randn(3, 5, requires_grad=True)

    def mlp(x):
        return gelu_linear(first(x), second)

    plain, again = mlp(x).sum(), checkpoint(mlp, x, use_reentrant=False).sum()
    more = operations(again.backward) - operations(plain.backward)
    assert more == operations(first, x) == 2 * 3 * 5 * 6


def test_what_needs_no_gradient_before_gelu_gets_none():
    linear, u = Linear(6, 4), torch.randn(3, 6)
    assert operations(gelu_linear(u, linear).sum().backward) == 2 * 3 * 6 * 4  # the weight's
    assert u.grad is None


def test_large_inputs_of_gelu_are_taken_in_pieces(monkeypatch):
    linear, u = Linear(6, 4), torch.randn(3, 5, 6)
    whole = gelu_linear(u, linear)
    monkeypatch.setattr(recompute, 'PIECE', 20)
    torch.testing.assert_close(gelu_linear(u, linear), whole)


def test_a_hooked_map_behind_gelu_is_called():
    linear, u, seen = Linear(6, 4), torch.randn(3, 6), []
    linear.register_forward_hook(lambda layer, given, out: seen.append(given[0]))
    gelu_linear(u, linear)
    torch.testing.assert_close(seen[0], F.gelu(u))


def chain(u):
    """Two steps that can be made again, one after the other."""
    return gelu(gelu(u))


class TestSteppingAside:
    """Whoever comes between a cheap step and the map behind it finds an ordinary tensor."""

    u = torch.linspace(-2, 2, 18).view(3, 6)

    def gradient(self, between, layer):
        u = self.u.clone().requires_grad_()
        layer(between(chain(u))).square().sum().backward()
        return u.grad

    def test_a_changed_tensor_is_not_made_again(self):
        linear = Linear(6, 4)
        for change in (lambda y: y.add_(1), lambda y: y * 2):
            expected = self.gradient(change, lambda y: F.linear(y, linear.weight, linear.bias))
            torch.testing.assert_close(self.gradient(change, linear), expected)

    @pytest.mark.parametrize('watch', ['register_hook', 'retain_grad'])
    def test_gradients_of_the_tensor_can_be_watched(self, watch):
        linear, seen = Linear(6, 4), []
        y = gelu(self.u.clone().requires_grad_())
        y.register_hook(seen.append) if watch == 'register_hook' else y.retain_grad()
        linear(y).sum().backward()
        gradient = seen[0] if seen else y.grad
        torch.testing.assert_close(gradient, linear.weight.sum(0).expand(3, 6))

    def test_other_layers_take_it_as_it_is(self):
        linear, other = Linear(6, 4), nn.Linear(6, 4)
        other.load_state_dict(linear.state_dict())
        same = lambda y: y  # noqa: E731
        torch.testing.assert_close(self.gradient(same, linear), self.gradient(same, other))

    def test_nothing_is_noted_without_gradients(self):
        with torch.no_grad():
            assert recipe_of(gelu(self.u)) is None
        assert recipe_of(gelu(self.u)) is None

    def test_a_frozen_map_keeps_nothing_and_makes_nothing_again(self):
        made = []
        linear, y = Linear(6, 4).requires_grad_(False), gelu(self.u.clone().requires_grad_())
        vars(y)['recipe'] = recipe_of(y)._replace(make=lambda *t: made.append(t))
        linear(y).sum().backward()
        assert made == []


def test_statistics_of_many_rows_are_accurate():
    torch.manual_seed(0)
    x = torch.randn(50_000, 3) + 30
    for ours, exact in zip(
        row_statistics(x), (x.double().mean(0), x.double().var(0, correction=0)), strict=True
    ):
        torch.testing.assert_close(ours.double(), exact, rtol=5e-7, atol=0)


def test_gradients_of_many_rows_are_accurate():
    """Those of x add up to nothing, and rounding must not pile up there."""
    torch.manual_seed(0)
    norm, x, direction = BatchNorm(3), torch.randn(50_000, 3) + 3, torch.rand(50_000, 3)
    x.requires_grad_()
    (norm(x) * direction).sum().backward()
    assert x.grad.double().sum(0).abs().max() < 0.01
    exact = direction.double().sum(0)
    torch.testing.assert_close(norm.bias.grad.double(), exact, rtol=5e-7, atol=0)


def test_batch_norm_of_tokens_is_that_of_volumes():
    torch.manual_seed(0)
    tokens, volume = BatchNorm(6), nn.BatchNorm3d(6)
    x = torch.randn(2, 4, 9, 6)  # clips, frames, places, channels
    expected = volume(x.unflatten(2, (3, 3)).permute(0, 4, 1, 2, 3))
    ours = tokens(x).unflatten(2, (3, 3)).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(tokens.running_var, volume.running_var)
    assert torch.equal(tokens.num_batches_tracked, volume.num_batches_tracked)


def test_batch_norms_can_be_used_again_as_they_were():
    torch.manual_seed(0)
    norm, x = BatchNorm(6).eval(), torch.randn(5, 6)
    expected, as_now = norm(x), BatchNormsAsNow(norm)
    norm.train()(x + 3)
    left = copy.deepcopy(norm.state_dict())
    for _ in range(2):
        with as_now:
            assert torch.equal(norm(x), expected)
    assert norm.training and all(torch.equal(left[k], v) for k, v in norm.state_dict().items())


def test_a_second_use_in_training_leaves_no_trace():
    norm = BatchNorm(6)
    before = copy.deepcopy(norm.state_dict())
    with BatchNormsAsNow(norm):
        norm(torch.randn(5, 6))
    assert all(torch.equal(before[k], v) for k, v in norm.state_dict().items())


@pytest.mark.parametrize('function', [norm_linear, norm_gelu_linear])
def test_gradients_are_exact_in_float64(function):
    torch.manual_seed(0)
    norm, linear = BatchNorm(6).double(), Linear(6, 4).double()
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    ours, theirs = (run(f, norm, linear, x) for f in (function, PLAIN[function]))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
