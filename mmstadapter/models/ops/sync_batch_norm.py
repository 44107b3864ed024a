"""Batch normalisation with the statistics of all processes, on devices PyTorch has none for."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def sync_batch_norm(norm: nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """What ``nn.SyncBatchNorm`` gives in training, which runs on GPUs only.

    Every process must call it. The running statistics are updated with the joint ones.

    Args:
        norm: holds weight, bias and running statistics of C channels.
        x: (R, C), this process's rows; R may differ between processes.

    Returns:
        (R, C), same dtype.
    """
    mean, var, count = joint_statistics(x.detach())
    with torch.no_grad():
        norm.num_batches_tracked += 1
        unbiased = var * count / (count - 1)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    return _Normalise.apply(x, norm.weight, norm.bias, mean, torch.rsqrt(var + norm.eps), count)


def joint_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and number of values a channel over the batches of all processes.

    The variance is taken about the joint mean, in a second exchange, so that a mean much
    larger than the deviation costs no digits.

    Args:
        x: (R, C), this process's rows.

    Returns:
        Mean (C,) and biased variance (C,) in float32, or float64 for such an input, and the
        number of rows in all, a scalar tensor.
    """
    x = x if x.dtype == torch.float64 else x.float()
    sums = torch.cat([x.sum(0), x.new_full((1,), len(x))])
    dist.all_reduce(sums)
    count, mean = sums[-1], sums[:-1] / sums[-1]
    squares = (x - mean).square_().sum(0)
    dist.all_reduce(squares)
    return mean, squares / count, count


class _Normalise(torch.autograd.Function):
    """(x - mean) * scale * weight + bias, with mean and scale of all processes.

    Gradients of weight and bias are this process's, for DistributedDataParallel to average;
    that of x takes in what the losses of all processes feel through the statistics.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean, scale, count) -> Tensor:
        ctx.save_for_backward(x, weight, mean, scale, count)
        return torch.addcmul(bias, (x - mean).mul_(scale), weight).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, scale, count = ctx.saved_tensors
        grad = grad.to(mean.dtype)
        normal = (x - mean).mul_(scale)
        dbias, dweight = grad.sum(0), (grad * normal).sum(0)
        felt = torch.stack([dbias, dweight])
        dist.all_reduce(felt)
        felt /= count
        dx = (grad - felt[0] - normal * felt[1]).mul_(weight * scale).to(x.dtype)
        return dx, dweight.to(weight.dtype), dbias.to(weight.dtype), None, None, None
