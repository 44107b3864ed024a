"""The depth-wise convolution gives the same numbers in every form."""

import pytest
import torch

from mmstadapter.models.ops import depthwise

TEMPORAL = [(1, 1, 1), (3, 1, 1), (5, 1, 1), (7, 1, 1)]
GENERAL = [(3, 3, 3), (1, 3, 3), (3, 5, 1), (5, 3, 3)]
PAIRS = [(k, f) for k in TEMPORAL for f in depthwise.TEMPORAL_FORMS] + [
    (k, f) for k in GENERAL for f in depthwise.GENERAL_FORMS
]


def integers(*shape: int, seed: int) -> torch.Tensor:
    """Small integers in float32: every sum is exact, so equality can be bit for bit."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, shape, generator=generator).float().requires_grad_()


def run(form, kernel, num_frames):
    x = integers(2, num_frames, 3, 5, 6, seed=0)
    weight, bias = integers(6, 1, *kernel, seed=1), integers(6, seed=2)
    out = form(x, weight, bias)
    cotangent = integers(*out.shape, seed=3).detach()
    return out, *torch.autograd.grad((out * cotangent).sum(), (x, weight, bias))


@pytest.mark.parametrize('num_frames', [1, 2, 5])
@pytest.mark.parametrize('kernel, form', PAIRS, ids=str)
def test_forms_equal_conv3d_bit_for_bit_with_gradients(kernel, form, num_frames):
    expected = run(depthwise.conv3d, kernel, num_frames)
    outcome = run(depthwise.TEMPORAL_FORMS[form], kernel, num_frames)
    for ours, theirs in zip(outcome, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_the_sweep_saw_all_forms():
    assert len(PAIRS) == len(TEMPORAL) * 6 + len(GENERAL) * 2


def test_shifted_adds_passes_gradcheck():
    x = torch.randn(1, 3, 2, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(depthwise.shifted_adds, (x, weight, bias))


@pytest.mark.parametrize('kernel', TEMPORAL + GENERAL, ids=str)
def test_the_chosen_form_is_one_that_takes_the_kernel(kernel):
    forms = depthwise.TEMPORAL_FORMS if kernel[1:] == (1, 1) else depthwise.GENERAL_FORMS
    for device in ('cpu', 'cuda'):
        assert depthwise.choose(kernel, device) in forms


def test_bfloat16_is_as_close_as_its_precision_allows():
    x, weight = torch.randn(2, 4, 3, 3, 8), torch.randn(8, 1, 3, 1, 1)
    bias = torch.randn(8)
    exact = depthwise.conv3d(x, weight, bias)
    ours = depthwise.shifted_adds(x.bfloat16(), weight, bias).float()
    torch.testing.assert_close(ours, exact, atol=0.1, rtol=0.05)
