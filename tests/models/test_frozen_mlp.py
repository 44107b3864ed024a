"""The MLP of a frozen CLIP block: QuickGELU's scales go into the matrix products."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmstadapter.models.ops import linear as ops
from mmstadapter.models.ops.frozen_mlp import frozen_mlp
from mmstadapter.models.trunks.clip_vit import MLP
from mmstadapter.planning.meter import Meter


def frozen(dtype: torch.dtype = torch.float32) -> MLP:
    mlp = MLP(16, 64, 'quick_gelu')
    for p in mlp.parameters():
        nn.init.normal_(p, std=0.3)
    return mlp.to(dtype).requires_grad_(False)


def plain(mlp: MLP, x: torch.Tensor) -> torch.Tensor:
    u = mlp.c_fc(x)
    return mlp.c_proj(u * torch.sigmoid(1.702 * u))


def both(run, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What it gives and the gradient of x."""
    x = x.detach().requires_grad_()
    y = run(x)
    torch.manual_seed(1)
    return y.detach(), *torch.autograd.grad(y, x, torch.randn(y.shape).to(y.dtype))


def test_output_and_gradient_are_the_formulas():
    mlp, x = frozen(torch.float64), torch.randn(2, 5, 16, dtype=torch.float64)
    ours, formula = both(mlp, x), both(lambda x: plain(mlp, x), x)
    for a, b in zip(ours, formula, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(mlp(x), ours[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_in_16_bit_it_is_no_further_off_than_the_formula(dtype):
    mlp, x = frozen(dtype), torch.randn(64, 50, 16).to(dtype)
    exact = frozen(torch.float64)
    exact.load_state_dict({k: v.double() for k, v in mlp.state_dict().items()})
    ours, formula = both(mlp, x), both(lambda x: plain(mlp, x), x)
    for a, b, c in zip(ours, formula, both(exact, x.double()), strict=True):
        assert torch.dist(a.double(), c) < 1.05 * torch.dist(b.double(), c)


def test_under_autocast_it_is_in_autocasts_type_from_weights_of_any():
    x = torch.randn(3, 16)
    for dtype in (torch.float32, torch.bfloat16):
        mlp = frozen(dtype)
        with torch.autocast('cpu', torch.bfloat16):
            y = mlp(x)
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), plain(mlp.float(), x), rtol=0.02, atol=0.05)


def test_it_keeps_the_scaled_hidden_values_alone():
    mlp, x = frozen(), torch.randn(7, 16, requires_grad=True)
    weights, kept = {p.data_ptr() for p in mlp.parameters()}, []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        mlp(x)
    assert [t.shape for t in kept if t.data_ptr() not in weights] == [(7, 64)]


def test_a_checkpoint_around_it_makes_the_first_product_again_alone():
    mlp, x = frozen(), torch.randn(7, 16, requires_grad=True)
    exact = both(mlp, x)
    y = checkpoint(mlp, x, use_reentrant=False)
    torch.manual_seed(1)
    with Meter() as meter:
        (dx,) = torch.autograd.grad(y, x, torch.randn(y.shape))
    assert torch.equal(dx, exact[1])
    made = sum(operator.operations for operator in meter.operators)
    assert made == 3 * 2 * 7 * 16 * 64  # it again, and two gradients


def trained(mlp: MLP) -> None:
    mlp.c_proj.bias.requires_grad_()


def hooked(mlp: MLP) -> None:
    mlp.activation.register_forward_hook(lambda *_: None)


def replaced(mlp: MLP) -> None:
    mlp.c_fc = nn.Linear(16, 64).requires_grad_(False)


@pytest.mark.parametrize('change', [trained, hooked, replaced])
def test_layers_that_are_trained_hooked_or_replaced_are_called(change, monkeypatch):
    monkeypatch.delattr(ops, 'frozen_mlp')
    mlp, x = frozen(), torch.randn(2, 16)
    change(mlp)
    torch.testing.assert_close(mlp(x), plain(mlp, x))


def test_a_second_derivative_is_refused_and_not_wrong():
    mlp, x = frozen(), torch.randn(2, 16, requires_grad=True)
    (dx,) = torch.autograd.grad(mlp(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        dx.sum().backward()


def test_rows_of_no_clip_give_none():
    mlp = frozen()
    given = (mlp.c_fc.weight, mlp.c_fc.bias, mlp.c_proj.weight, mlp.c_proj.bias)
    assert frozen_mlp(torch.empty(0, 5, 16), *given).shape == (0, 5, 16)
