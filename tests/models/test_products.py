"""Float32 products by oneDNN: the numbers and the graph of `F.linear`, hidden from onlookers."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from mmstadapter.models.ops import products
from mmstadapter.models.ops.products import product, scaled_product

if not torch.backends.mkldnn.is_available():
    pytest.skip('this PyTorch has no oneDNN', allow_module_level=True)

NEEDED = [(1, 1, 1), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (0, 0, 0)]


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """OneDNN takes every product that it may, on any CPU; the sizes of those it took."""
    sizes, run = [], products._onednn

    def noted(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        sizes.append((*x.shape, len(weight)))
        return run(x, weight, bias)

    monkeypatch.setattr(products, 'LEAST', 0)
    monkeypatch.setattr(products, '_outruns_mkl', lambda: True)
    monkeypatch.setattr(products, '_onednn', noted)
    return sizes


def made(*needed: int) -> list[Tensor]:
    """Input, weight and bias of a map of 8 values to 6, and which of them need a gradient."""
    tensors = torch.randn(3, 5, 8), torch.randn(6, 8), torch.randn(6)
    return [t.requires_grad_(bool(n)) for t, n in zip(tensors, needed, strict=True)]


@pytest.mark.parametrize('needed', NEEDED)
def test_result_and_gradients_are_those_of_linear(needed, calls):
    given = made(*needed)
    wanted = [t for t in given if t.requires_grad]
    found = []
    for run in (F.linear, product):
        y = run(*given)
        grads = torch.autograd.grad(y.square().sum(), wanted) if wanted else ()
        found.append([y.detach(), *grads])
    torch.testing.assert_close(found[1], found[0])
    assert y.requires_grad == any(needed)
    assert len(calls) == 1 + sum(needed[:2])
    torch.testing.assert_close(product(*given[:2]), F.linear(*given[:2]))  # without a bias


@pytest.mark.parametrize('needed', [(1, 1, 1), (1, 0, 0)])
def test_gradients_have_gradients(needed, calls):
    given = made(*needed)
    wanted = [t for t in given if t.requires_grad]
    found = []
    for run in (F.linear, product):
        first = torch.autograd.grad(run(*given).pow(3).sum(), wanted, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), wanted))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-2)
    assert len(calls) > 2


@pytest.mark.parametrize('dims, found', [(8, 6), (6, 8)])
def test_a_scale_is_that_of_addmm(dims, found, calls):
    x, weight, bias = torch.randn(5, dims), torch.randn(found, dims), torch.randn(found)
    y = scaled_product(x, weight, bias, 1.702)
    torch.testing.assert_close(y, torch.addmm(bias, x, weight.T, alpha=1.702))
    assert calls == [(5, dims, found)]


def test_a_frozen_product_at_the_end_of_a_checkpoint_is_not_made_again(calls):
    first, last = made(1, 1, 1), torch.randn(8, 6)

    def run(*given: Tensor) -> Tensor:
        return product(product(*given).relu(), last)

    checkpoint(run, *first, use_reentrant=False).sum().backward()
    forward, again, gradients = 2, 1, 3
    assert len(calls) == forward + again + gradients


class Wrapped(Tensor):
    """A tensor of another library's type."""


OTHERS = {
    'float64': lambda t: t.double(),
    'bfloat16': lambda t: t.bfloat16(),
    'meta': lambda t: t.to('meta'),
    'wrapped': lambda t: t.as_subclass(Wrapped),
}


@pytest.mark.parametrize('other', OTHERS.values(), ids=OTHERS)
def test_other_tensors_are_left_to_pytorch(other, calls):
    assert product(*map(other, made(1, 1, 1))).shape == (3, 5, 6)
    assert not calls


def test_autocast_chooses_the_arithmetic(calls):
    with torch.autocast('cpu', torch.bfloat16):
        assert product(*made(0, 0, 0)).dtype == torch.bfloat16
    assert not calls


def test_who_traces_counts_or_transforms_sees_the_plain_product(calls):
    given = made(0, 0, 0)
    torch.jit.trace(product, given, check_trace=False)
    with FlopCounterMode(display=False) as counter:
        product(*given)
    assert counter.get_total_flops() == 2 * 15 * 8 * 6
    by_row = torch.vmap(lambda row: product(row, *given[1:]))(given[0])
    torch.testing.assert_close(by_row, F.linear(*given))
    compiled = torch.compile(product, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(*given), F.linear(*given))
    assert not calls


def test_pytorchs_switch_of_onednn_turns_it_off(calls):
    with torch.backends.mkldnn.flags(enabled=False):
        product(*made(1, 1, 1))
    assert not calls


@pytest.mark.parametrize(
    'name, capability, mkl, wanted',
    [
        ('AMD EPYC 9B14', 'AVX512', True, True),
        ('AMD EPYC 7763', 'AVX2', True, False),  # MKL's own products of AVX2 are as fast
        ('Intel Xeon Platinum 8481C', 'AVX512', True, False),  # where MKL takes AVX-512
        ('AMD EPYC 9B14', 'AVX512', False, False),
    ],
)
def test_it_is_chosen_where_mkl_leaves_avx_512_idle(name, capability, mkl, wanted, monkeypatch):
    monkeypatch.undo()
    cpu = SimpleNamespace(get_capabilities=lambda: {'cpu_name': name})
    monkeypatch.setattr(torch, 'cpu', cpu)
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, 'is_available', lambda: mkl)
    assert products._outruns_mkl.__wrapped__() == wanted


def test_sizes_that_do_not_fit_are_told_by_pytorch():
    with pytest.raises(RuntimeError, match=r'shapes cannot be multiplied \(3x7 and 8x6\)'):
        product(torch.randn(3, 7), torch.randn(6, 8))


def test_one_row_is_a_vector(calls):
    given = [torch.randn(8, requires_grad=True), *made(0, 1, 1)[1:]]
    found = [torch.autograd.grad(run(*given).sum(), given) for run in (F.linear, product)]
    torch.testing.assert_close(found[1], found[0])
    assert calls


def test_small_products_are_left_to_pytorch(calls, monkeypatch):
    monkeypatch.setattr(products, 'LEAST', 15 * 8 * 6 + 1)
    product(*made(0, 0, 0))
    assert not calls
