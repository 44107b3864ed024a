"""CLIP's blocks as the released codes of both papers run them, on the parameters of ours."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention(block: nn.Module, x: Tensor) -> Tensor:
    """The attention branch. (M, L, D) -> same."""
    return block.attn(norm(block.ln_1, x))


def feed_forward(block: nn.Module, x: Tensor) -> Tensor:
    """The MLP branch, its QuickGELU a product of two factors. (M, L, D) -> same."""
    u = F.linear(norm(block.ln_2, x), block.mlp.c_fc.weight, block.mlp.c_fc.bias)
    u = u * torch.sigmoid(1.702 * u)
    return F.linear(u, block.mlp.c_proj.weight, block.mlp.c_proj.bias)


def norm(layer: nn.Module, x: Tensor) -> Tensor:
    """CLIP's layer norm: of a float32 copy, which is kept, and cast back."""
    weight, bias = layer.weight.float(), layer.bias.float()
    return F.layer_norm(x.float(), layer.normalized_shape, weight, bias, layer.eps).to(x.dtype)
