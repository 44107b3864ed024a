"""Weights that are not numbers are refused, with the tensor's name."""

import pytest
import torch

from mmstadapter.weights import require_numbers
from mmstadapter.weights.lazy import LazyTensors


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_one_value_is_enough(value, dtype):
    broken = torch.zeros(2, 3, dtype=dtype)
    broken[1, 2] = value
    with pytest.raises(ValueError, match=r'a\.pth.* 1 of 2 tensors .* head\.bias with 1 of 6'):
        require_numbers({'trunk': torch.zeros(4), 'head.bias': broken}, 'a.pth')


def test_eight_bit_numbers_are_looked_at():
    broken = torch.tensor([1.0, float('nan')]).to(torch.float8_e4m3fn)
    with pytest.raises(ValueError, match='1 of 2 values'):
        require_numbers({'x': broken}, 'a.safetensors')


def test_numbers_pass_whatever_their_type():
    tensors = [torch.tensor(3), torch.tensor([True]), torch.full((2,), 65504.0).half()]
    tensors += [torch.empty(0), torch.full((2,), 3e38)]  # whose sum is infinite
    require_numbers({str(i): tensor for i, tensor in enumerate(tensors)}, 'a.pth')


def test_minus_infinity_in_a_mask_is_meant():
    require_numbers({'text.attn_mask': torch.full((2, 2), -torch.inf).triu(1)}, 'a.pth')
    with pytest.raises(ValueError, match='attn_mask'):
        require_numbers({'attn_mask': torch.tensor([torch.nan])}, 'a.pth')


def test_lazy_tensors_are_made_one_by_one():
    made = []
    makers = {n: lambda n=n: made.append(n) or torch.zeros(1) for n in 'abc'}
    require_numbers(LazyTensors(makers), 'a.pth')
    assert made == list('abc')
