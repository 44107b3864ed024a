"""Single operators by form, side by side."""

import time

import torch
import torch.nn.functional as F
from einops import rearrange
from harness import Budget, Machine, Report, distance
from torch import Tensor, nn

from mmstadapter.models.ops import depthwise as conv_forms
from mmstadapter.models.ops import elementwise as ours
from mmstadapter.models.ops.batch_norm import BatchNorm
from mmstadapter.models.ops.linear import Linear, gelu_linear


def authors_conv3d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Permute to channels first, copy, Conv3d, permute back, copy."""
    x = rearrange(x, 'b t h w c -> b c t h w').contiguous()
    x = F.conv3d(x, weight, bias, padding=[k // 2 for k in weight.shape[2:]], groups=x.shape[1])
    return rearrange(x, 'b c t h w -> b t h w c').contiguous()


def authors_without_cudnn(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same by PyTorch's own kernel."""
    with torch.backends.cudnn.flags(enabled=False):
        return authors_conv3d(x, weight, bias)


def plain_shifts(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Three shifted products, summed by plain autograd; kernel (3, 1, 1)."""
    w = weight[:, 0, :, 0, 0]
    y = x * w[:, 1] + bias
    y[:, :-1] += x[:, 1:] * w[:, 2]
    y[:, 1:] += x[:, :-1] * w[:, 0]
    return y


def padded_shifts(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As one expression, for a compiler to fuse."""
    w = weight[:, 0, :, 0, 0]
    p = F.pad(x, (0, 0, 0, 0, 0, 0, 1, 1))
    return p[:, :-2] * w[:, 0] + p[:, 1:-1] * w[:, 1] + p[:, 2:] * w[:, 2] + bias


def depthwise(report: Report, budget: Budget, machine: Machine) -> None:
    """The depth-wise temporal convolution (3, 1, 1), forward and backward, by form.

    `floor` is x and the output's gradient read, output and x's gradient written, x read again,
    at the measured copy rate.
    """
    forms = {
        'authors': authors_conv3d,
        'authors, no cudnn': authors_without_cudnn,
        **conv_forms.TEMPORAL_FORMS,
        'plain shifts': plain_shifts,
    }
    sizes = [
        (32, 8, 14, 384),
        (32, 8, 14, 320),
        (32, 8, 14, 192),
        (16, 8, 16, 512),
        (8, 32, 14, 384),
    ]
    dtypes = [torch.bfloat16, torch.float16, torch.float32]
    if machine.quick:
        sizes, dtypes = [(2, 8, 4, 32)], [torch.bfloat16, torch.float32]
    for dtype in dtypes:
        for size in sizes if dtype != torch.float32 else sizes[:2]:
            label = f'{str(dtype)[6:]} {size}'
            if not budget.allows(report, label, 3):
                return
            found, reference = {}, None
            for name, form in forms.items():
                with report.guard(f'{label} {name}'):
                    found[name], reference = _both_ways(machine, form, size, dtype, reference)
            chosen = conv_forms.choose((3, 1, 1), machine.device.type)
            count = size[0] * size[1] * size[2] ** 2 * size[3]
            floor = 5 * count * dtype.itemsize / machine.copy_gbps / 1e6
            best = min(found, key=lambda k: found[k][0])
            report.row(
                label,
                chosen=chosen,
                best=best,
                chosen_to_best=found[chosen][0] / found[best][0],
                floor_ms=floor,
                **{k: round(v[0], 4) for k, v in found.items()},
            )
            report.row(f'{label} error', **{k: f'{v[1]:.1e}' for k, v in found.items()})
    if budget.allows(report, 'compiled', 25):
        for name, form in (('padded shifts', padded_shifts), ('authors', authors_conv3d)):
            with report.guard(f'compiled {name}'):
                start = time.perf_counter()
                fast, _ = _both_ways(machine, torch.compile(form), sizes[0], dtypes[0], None)
                report.row(
                    f'compiled {name} {sizes[0]}',
                    ms=fast[0],
                    error=fast[1],
                    compile_s=time.perf_counter() - start,
                )
    for kernel in ((3, 3, 3), (1, 3, 3)):
        if not budget.allows(report, str(kernel), 4):
            return
        found = {}
        for name, form in (('authors', authors_conv3d), *conv_forms.GENERAL_FORMS.items()):
            with report.guard(f'kernel {kernel} {name}'):
                found[name], _ = _both_ways(machine, form, sizes[0], dtypes[0], None, kernel)
        report.row(
            f'kernel {kernel} {sizes[0]}',
            chosen=conv_forms.choose(kernel, machine.device.type),
            **{k: round(v[0], 4) for k, v in found.items()},
        )


def _both_ways(machine, form, size, dtype, reference, kernel=(3, 1, 1)):
    """(ms, error against float64), and the float64 gradient."""
    batch, frames, side, channels = size
    torch.manual_seed(0)
    shape = batch, frames, side, side, channels
    x = torch.randn(shape, device=machine.device, dtype=dtype).requires_grad_()
    weight = torch.randn(channels, 1, *kernel, device=machine.device, dtype=dtype).requires_grad_()
    bias = torch.randn(channels, device=machine.device, dtype=dtype).requires_grad_()
    g = torch.randn(shape, device=machine.device, dtype=dtype)
    if reference is None and kernel == (3, 1, 1):
        given = [
            t.detach()[:2].double() if t.ndim == 5 and len(t) == batch else t.detach().double()
            for t in (x, weight, bias)
        ]
        given = [t.requires_grad_() for t in given]
        padded_shifts(*given).backward(g[:2].double())
        reference = given[0].grad
    form(x, weight, bias).backward(g)
    error = float('nan') if reference is None else distance(x.grad[:2], reference)

    def step():
        x.grad = weight.grad = bias.grad = None
        form(x, weight, bias).backward(g)

    return (1e3 * machine.time(step, 2, 7), error), reference


# ----------------------------------------------------------------------- element-wise


def silu_form(u: Tensor) -> Tensor:
    """U sigmoid(1.702 u) by PyTorch's SiLU, keeping u alone."""
    return _SiLUForm.apply(u)


class _SiLUForm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return F.silu(1.702 * u, inplace=True).mul_(1 / 1.702)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad, 1.702 * u)


def elementwise(report: Report, budget: Budget, machine: Machine) -> None:
    """Norms, activations and the maps after them, forward and backward under bfloat16 autocast.

    `x_floor` is the time over that of reading and writing each input, output and gradient once at
    the measured copy rate; `kept_mb` what is held for the backward pass.
    """

    rows, dims = (256 * 197, 768) if not machine.quick else (64, 32)
    x = torch.randn(rows, dims, device=machine.device, dtype=torch.bfloat16)
    norm = ours.LayerNorm(dims).to(machine.device).requires_grad_(False)
    half = nn.LayerNorm(dims).to(machine.device).bfloat16().requires_grad_(False)

    def float32_copy(x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), (dims,), norm.weight, norm.bias).to(x.dtype)

    forms = {
        'layer norm, ours': norm,
        'layer norm, float32 copy': float32_copy,
        'layer norm, 16-bit operator': lambda x: torch.native_layer_norm(
            x, (dims,), half.weight, half.bias, 1e-5
        )[0],
    }
    _compare(report, budget, machine, forms, x, 4)
    u = torch.randn(rows, 4 * dims, device=machine.device, dtype=torch.bfloat16)
    forms = {
        'QuickGELU, ours': ours.quick_gelu,
        'QuickGELU, plain': lambda u: u * torch.sigmoid(1.702 * u),
        'QuickGELU, by SiLU': silu_form,
        'GELU, fused operator': F.gelu,
    }
    _compare(report, budget, machine, forms, u, 5)
    for name, form in (
        ('layer norm, compiled', torch.compile(float32_copy)),
        ('QuickGELU, compiled', torch.compile(lambda u: u * torch.sigmoid(1.702 * u))),
    ):
        if budget.allows(report, name, 15):
            given = x if 'norm' in name else u
            _compare(report, budget, machine, {name: form}, given, 4 if given is x else 5)
    del u
    rows, side = (256 * 196, 320) if not machine.quick else (64, 32)
    s = torch.randn(rows, side, device=machine.device, dtype=torch.bfloat16)
    sizes = (side, 4 * side), (4 * side, side), (dims, side)
    fc1, fc2, down = (Linear(*size, device=machine.device) for size in sizes)
    plain_1, plain_2, plain_down = (nn.Linear(*size, device=machine.device) for size in sizes)
    bn = BatchNorm(side, device=machine.device)
    stock = nn.BatchNorm1d(side, device=machine.device)
    volume = (32, 8, 14, 14, side) if not machine.quick else (2, 2, 4, 4, side)

    def bn3d(s: Tensor) -> Tensor:
        v = rearrange(s.view(volume), 'b t h w c -> b c t h w').contiguous()
        v = F.batch_norm(v, None, None, bn.weight, bn.bias, True)
        return plain_1(rearrange(v, 'b c t h w -> (b t h w) c').contiguous())

    forms = {
        'batch norm and linear, ours': lambda s: fc1(bn(s)),
        'batch norm and linear, kept': lambda s: plain_1(stock(s)),
        'batch norm and linear, 3-d as released': bn3d,
    }
    _compare(report, budget, machine, forms, s, 0)
    tuned = ours.LayerNorm(dims).to(machine.device)
    stock_norm = nn.LayerNorm(dims).to(machine.device)
    forms = {
        'layer norm and linear, ours': lambda x: down(tuned(x)),
        'layer norm and linear, kept': lambda x: plain_down(stock_norm(x)),
    }
    _compare(report, budget, machine, forms, x, 0, needs=False)
    u = torch.randn(rows, 4 * side, device=machine.device, dtype=torch.bfloat16)
    forms = {
        'GELU and linear, ours': lambda u: gelu_linear(u, fc2),
        'GELU and linear, kept': lambda u: plain_2(F.gelu(u)),
    }
    _compare(report, budget, machine, forms, u, 0)


def _compare(report, budget, machine, forms, x: Tensor, passes: int, needs: bool = True) -> None:
    for name, form in forms.items():
        if not budget.allows(report, name, 1):
            return
        with report.guard(name):
            _compare_one(report, machine, name, form, x.detach().requires_grad_(needs), passes)


def _compare_one(report, machine, name: str, form, x: Tensor, passes: int) -> None:
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return t

    def forward() -> Tensor:
        with machine.autocast(torch.bfloat16):
            return form(x)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        g = torch.randn_like(forward())
    kept.pop(x.untyped_storage().data_ptr(), None)

    def step() -> None:
        x.grad = None
        forward().backward(g)

    ms = 1e3 * machine.time(step, 3, 7)
    with torch.no_grad():
        forward_ms = 1e3 * machine.time(forward, 3, 7)
    floor = passes * x.nbytes / machine.copy_gbps / 1e6
    report.row(
        name,
        ms=ms,
        forward_ms=forward_ms,
        x_floor=ms / floor if floor else float('nan'),
        kept_mb=sum(kept.values()) / 1e6,
        input_mb=x.nbytes / 1e6,
    )
