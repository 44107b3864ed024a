"""Time the forms of the depth-wise convolution against each other, forward and backward.

    python benchmarks/depthwise.py [--out benchmarks/depthwise_<machine>_<torch>.md]

The reference is the authors' form: permute to channels first, ``conv3d``, permute
back, which is `mmstadapter.models.ops.depthwise.conv3d`. Rounds are interleaved and the
median ratio is reported, so a busy machine blurs a figure and does not shift it.
"""

import argparse
import platform
import statistics
import time
from pathlib import Path

import torch

from mmstadapter.models.ops import depthwise

# batch, frames, side of the patch grid, channels: ST-Adapter's ViT-B/16 and L/14, Side4Video's
SIZES = [(1, 8, 14, 384), (4, 8, 14, 384), (1, 32, 14, 384), (2, 8, 16, 512), (2, 8, 14, 192)]


def one_step(form, x, weight, bias, cotangent) -> float:
    """Seconds of one forward and backward pass; the gradient arrives in token layout."""
    if x.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    form(x, weight, bias).backward(cotangent)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(forms, kernel, size, device, dtype, rounds) -> tuple[float, dict[str, float]]:
    """Seconds of conv3d and every form's median ratio to it."""
    batch, frames, side, channels = size
    x = torch.randn(batch, frames, side, side, channels, device=device, dtype=dtype)
    weight = torch.randn(channels, 1, *kernel, device=device, dtype=dtype)
    bias = torch.randn(channels, device=device, dtype=dtype)
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    cotangent = torch.randn(x.shape, device=device, dtype=dtype)
    times = {name: [] for name in forms}
    for _ in range(rounds + 1):
        for name, form in forms.items():
            times[name].append(one_step(form, x, weight, bias, cotangent))
    times = {name: t[1:] for name, t in times.items()}  # the first round warms up
    ratios = {
        name: statistics.median(a / b for a, b in zip(t, times['conv3d'], strict=True))
        for name, t in times.items()
    }
    return statistics.median(times['conv3d']), ratios


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    name = torch.cuda.get_device_name() if device == 'cuda' else platform.processor() or 'x86-64'
    machine = f'{name}, {args.threads} thread(s), torch {torch.__version__}'
    lines = [
        '# Depth-wise convolution: median time ratio to the stock conv3d, forward + backward',
        '',
        f'{machine}, {time.strftime("%Y-%m-%d")}; `python benchmarks/depthwise.py`',
        '',
    ]
    dtypes = [torch.float32, torch.bfloat16] + ([torch.float16] if device == 'cuda' else [])
    for kernel in ((3, 1, 1), (3, 3, 3)):
        forms = depthwise.TEMPORAL_FORMS if kernel[1] == 1 else depthwise.GENERAL_FORMS
        lines += [
            f'## kernel {kernel}',
            '',
            f'| dtype | (B, T, side, C) | conv3d, ms | {" | ".join(forms)} | chosen |',
            f'|---|---|---|{"---|" * len(forms)}---|',
        ]
        for dtype in dtypes:
            for size in SIZES:
                base, ratios = measure(forms, kernel, size, device, dtype, args.rounds)
                cells = ' | '.join(f'{ratios[form]:.2f}' for form in forms)
                chosen = depthwise.choose(kernel, device)
                lines.append(
                    f'| {str(dtype)[6:]} | {size} | {base * 1e3:.1f} | {cells} | {chosen} |'
                )
                print(lines[-1], flush=True)
        lines.append('')
    text = '\n'.join(lines)
    print(text)
    if args.out:
        args.out.write_text(text)


if __name__ == '__main__':
    main()
