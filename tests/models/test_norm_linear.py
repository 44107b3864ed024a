"""A trained norm and linear map of frozen tokens: one map of the normalised tokens."""

import pytest
import torch
from torch import nn

from mmstadapter.models.ops import linear as ops
from mmstadapter.models.ops import norm_linear as form
from mmstadapter.models.ops.elementwise import LayerNorm
from mmstadapter.models.ops.linear import Linear, norm_linear


def layers(dtype: torch.dtype = torch.float32) -> tuple[LayerNorm, Linear]:
    made = LayerNorm(16), Linear(16, 6)
    for layer in made:
        nn.init.normal_(layer.weight, mean=0.5)
        nn.init.normal_(layer.bias)
        layer.to(dtype)
    return made


def gradients(y: torch.Tensor, norm: nn.Module, layer: nn.Module) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    given = torch.randn(y.shape).to(y.dtype)
    return torch.autograd.grad(y, [*norm.parameters(), *layer.parameters()], given)


def test_output_and_gradients_are_those_of_the_two_layers():
    norm, layer = layers(torch.float64)
    x = 3 + torch.randn(2, 5, 16, dtype=torch.float64)
    ours, plain = norm_linear(x, norm, layer), layer(norm(x))
    assert 'NormLinear' in type(ours.grad_fn).__name__
    close = dict(rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, plain, **close)
    found = gradients(ours, norm, layer), gradients(plain, norm, layer)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, **close)
    with torch.no_grad():
        torch.testing.assert_close(norm_linear(x, norm, layer), plain, **close)


def test_a_compiler_is_given_the_same_map(monkeypatch):
    norm, layer = layers(torch.float64)
    x = 3 + torch.randn(2, 5, 16, dtype=torch.float64)
    plain = layer(norm(x))
    monkeypatch.setattr(form, 'is_compiling', lambda: True)
    monkeypatch.delattr(form, '_NormLinear')
    ours = norm_linear(x, norm, layer)
    close = dict(rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, plain, **close)
    torch.testing.assert_close(gradients(ours, norm, layer), gradients(plain, norm, layer), **close)


def test_an_exported_graph_has_the_weight_as_it_is_stored():
    class Down(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = layers()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return norm_linear(x, self.norm, self.linear)

    program = torch.export.export(Down(), (torch.randn(2, 5, 16),))
    (product,) = program.graph.find_nodes(op='call_function', target=torch.ops.aten.linear.default)
    assert product.args[1].op == 'placeholder'  # the weight itself


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_under_autocast_it_is_about_as_near_to_the_exact_as_the_two_layers(dtype):
    norm, layer = layers()
    x = torch.randn(64, 50, 16).to(dtype)
    with torch.autocast('cpu', dtype):
        ours, plain = norm_linear(x, norm, layer), layer(norm(x))
    assert ours.dtype == dtype
    found = [(y.detach(), *gradients(y, norm, layer)) for y in (ours, plain)]
    exact = layer.double()(norm.double()(x.double()))
    given = (exact.detach(), *gradients(exact, norm, layer))
    for a, b, c in zip(*found, given, strict=True):
        assert torch.dist(a.double(), c) < 1.5 * torch.dist(b.double(), c) + 1e-3 * c.norm()


def test_it_keeps_the_tokens_alone():
    (norm, layer), x, kept = layers(), torch.randn(40, 16), set()
    weights = {p.data_ptr() for made in (norm, layer) for p in made.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.add(t.data_ptr()) or t, lambda t: t
    ):
        norm_linear(x, norm, layer)
    assert kept - weights == {x.data_ptr()}


def tokens_that_need_a_gradient(norm, layer, x):
    return norm, layer, x.requires_grad_()


def a_norm_with_a_hook(norm, layer, x):
    norm.register_forward_hook(lambda *_: None)
    return norm, layer, x


def another_map(norm, layer, x):
    return norm, nn.Linear(16, 6), x


def a_map_in_another_type(norm, layer, x):
    return norm, layer.to(torch.bfloat16), x


@pytest.mark.parametrize(
    'change', [tokens_that_need_a_gradient, a_norm_with_a_hook, another_map, a_map_in_another_type]
)
def test_else_both_layers_are_called(change, monkeypatch):
    monkeypatch.delattr(ops, 'norm_linear_of_frozen')
    norm, layer, x = change(*layers(), torch.randn(3, 16))
    assert torch.equal(norm_linear(x, norm, layer), layer(norm(x)))
