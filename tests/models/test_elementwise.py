"""The frugal norm and activation compute what the plain ones compute, and keep less."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmstadapter.models.ops.elementwise import LayerNorm, keep_in_graph, linear, quick_gelu


def saved_bytes(function, *inputs) -> int:
    """Bytes of distinct storages that a function keeps for its backward pass."""
    seen = {}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        function(*inputs)
    return sum(seen.values())


def test_quick_gelu_passes_gradcheck():
    u = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quick_gelu, (u,))


def test_quick_gelu_is_its_formula():
    u = torch.randn(7, 3)
    assert torch.equal(quick_gelu(u), u * torch.sigmoid(1.702 * u))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_quick_gelus_gradient_in_16_bit_is_off_by_less_than_its_formulas(dtype):
    u = (3 * torch.randn(10_000)).to(dtype).requires_grad_()
    exact = u.detach().double().requires_grad_()
    (exact * torch.sigmoid(1.702 * exact)).sum().backward()
    (ours,) = torch.autograd.grad(quick_gelu(u).sum(), u)
    (plain,) = torch.autograd.grad((u * torch.sigmoid(1.702 * u)).sum(), u)
    assert torch.dist(ours, exact.grad) < 0.7 * torch.dist(plain, exact.grad)


def test_quick_gelu_keeps_its_input_alone():
    u = torch.randn(4, 64, requires_grad=True)
    assert saved_bytes(quick_gelu, u) == u.nbytes


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_layer_norm_in_16_bit_equals_float32_rounded(dtype):
    norm = nn.LayerNorm(16)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    ours = LayerNorm(16)
    ours.load_state_dict(norm.state_dict())
    x = torch.randn(2, 5, 16).to(dtype).requires_grad_()
    y = x.detach().float().requires_grad_()
    cotangent = torch.randn(2, 5, 16).to(dtype)
    ours(x).backward(cotangent)
    norm(y).backward(cotangent.float())
    assert torch.equal(ours(x), norm(y).to(dtype))
    assert torch.equal(x.grad, y.grad.to(dtype))
    torch.testing.assert_close(ours.weight.grad, norm.weight.grad)
    torch.testing.assert_close(ours.bias.grad, norm.bias.grad)


def test_layer_norm_in_16_bit_keeps_a_16_bit_input():
    norm = LayerNorm(64).requires_grad_(False)
    x = torch.randn(32, 64, dtype=torch.bfloat16, requires_grad=True)
    statistics = 2 * 32 * 4
    assert saved_bytes(norm, x) == x.nbytes + statistics + 2 * 64 * 4


def test_layer_norm_in_float32_is_torchs():
    norm, x = LayerNorm(8), torch.randn(3, 8)
    assert torch.equal(norm(x), F.layer_norm(x, (8,), norm.weight, norm.bias))


def test_a_weight_stored_in_16_bit_is_read_in_the_inputs_type():
    x, weight, bias = torch.randn(3, 4), torch.randn(5, 4).half(), torch.randn(5).half()
    assert torch.equal(linear(x, weight, bias), F.linear(x, weight.float(), bias.float()))


def test_parameters_kept_in_the_graph_get_exact_zeros():
    x = torch.randn(2, 3, requires_grad=True)
    idle = [nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(2, 2))]
    out = keep_in_graph(x, idle)
    out.sum().backward()
    assert torch.equal(out, x)
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in idle)
    assert torch.equal(x.grad, torch.ones_like(x))
