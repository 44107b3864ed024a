"""Batch normalisation with the statistics of all processes, on any device."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def joint_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and number of values a channel over the batches of all processes.

    The variance is taken about the joint mean, in a second exchange, so that a mean much
    larger than the deviation costs no digits. Every process must call it.

    Args:
        x: (R, C), this process's rows; R may differ between processes.

    Returns:
        Mean (C,) and biased variance (C,) in float32, or float64 for such an input, and the
        number of rows in all, a scalar tensor.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    sums = torch.cat([wide.sum(0), wide.new_full((1,), len(x))])
    dist.all_reduce(sums)
    count, mean = sums[-1], sums[:-1] / sums[-1]
    squares = (wide - mean).square_().sum(0)
    dist.all_reduce(squares)
    return mean, squares / count, count


class SyncBatchNormFunction(torch.autograd.Function):
    """Normalise with joint statistics; keeps the input and two numbers a channel.

    PyTorch's own needs a GPU and channels on the second axis. Gradients of weight and bias are
    this process's, for DistributedDataParallel to average; that of the input takes what all
    processes' losses feel through the statistics.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *rest):
        """(R, C) and joint statistics -> (R, C); ``rest`` is the count and epsilon."""
        count, eps = rest
        scale = torch.rsqrt(var + eps)
        ctx.save_for_backward(x, weight, mean, scale, count)
        return torch.addcmul(bias, (x - mean).mul_(scale), weight).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        """Gradients of x, weight and bias; one exchange of two numbers a channel."""
        x, weight, mean, scale, count = ctx.saved_tensors
        grad = grad.to(mean.dtype)
        normal = (x - mean).mul_(scale)
        dbias, dweight = grad.sum(0), (grad * normal).sum(0)
        felt = torch.stack([dbias, dweight])
        dist.all_reduce(felt)
        felt /= count
        dx = (grad - felt[0] - normal * felt[1]).mul_(weight * scale).to(x.dtype)
        return dx, dweight.to(weight.dtype), dbias.to(weight.dtype), None, None, None, None


def several_processes() -> bool:
    """Whether there are other processes to exchange statistics with."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_synchronised(norm: nn.Module) -> bool:
    """Whether a batch norm, ours or PyTorch's, takes the statistics of all processes."""
    return isinstance(norm, nn.SyncBatchNorm) or getattr(norm, 'sync', False)
