"""Batch normalisation with the statistics of all processes, where PyTorch has none: on CPUs."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from .batch_norm import BatchNorm, check_count


class JointBatchNorm(BatchNorm):
    """What ``nn.SyncBatchNorm`` computes, on any device.

    PyTorch's takes tensors on GPUs only, and DistributedDataParallel refuses a model on the
    CPU that has it. The same parameters, buffers and numbers; without other processes, and
    in testing, the batch norm it was made from.
    """

    @classmethod
    def of(cls, norm: _BatchNorm) -> 'JointBatchNorm':
        """A batch norm of (..., C), sharing parameters and buffers with ``norm``."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine)
        made.weight, made.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(made, name, buffer)
        return made.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C), same dtype; in training every process must call it.

        The numbers of rows may differ between processes. The running statistics are updated
        with the joint ones.
        """
        if not (self.training and dist.is_available() and dist.is_initialized()):
            return super().forward(x)
        rows = x.flatten(0, -2)
        mean, var, count = joint_statistics(rows.detach())
        check_count(int(count), x)  # the same in all processes
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased = var * count / (count - 1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        scale = torch.rsqrt(var + self.eps)
        return _Normalise.apply(rows, self.weight, self.bias, mean, scale, count).view_as(x)


def synchronise(module: nn.Module) -> nn.Module:
    """Put a `JointBatchNorm` in the place of every batch norm of rows; returns the module."""
    if type(module) in (nn.BatchNorm1d, BatchNorm):
        return JointBatchNorm.of(module)
    for name, child in module.named_children():
        module.add_module(name, synchronise(child))
    return module


def is_synchronised(norm: nn.Module) -> bool:
    """Whether a norm takes the statistics of all processes."""
    return isinstance(norm, nn.SyncBatchNorm | JointBatchNorm)


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
