"""Matrix products in float32 on a CPU: PyTorch's `linear`, which is MKL's, beside oneDNN's.

    python benchmarks/cpu_products.py [--out benchmarks/cpu_products_<machine>_torch<version>.md]

GFLOP/s of the best of some rounds, one thread, and the largest error against float64. MKL takes no
AVX-512 on AMD's CPUs, so there `mmstadapter/models/ops/products.py` takes oneDNN's.
"""

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mmstadapter.models.ops.products import _onednn

# rows, values in and out: CLIP ViT-B/16 on 8 frames, a side network, one image, a sentence
SIZES = [
    (1576, 768, 2304),
    (1576, 768, 3072),
    (1576, 3072, 768),
    (1568, 320, 1280),
    (197, 768, 2304),
    (77, 512, 1536),
]
ROUNDS, WARM = 12, 3


def measured(linear: Callable, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[float, float]:
    """GFLOP/s and error."""
    seconds = []
    for _ in range(WARM + ROUNDS):
        start = time.perf_counter()
        y = linear(x, weight, bias)
        seconds.append(time.perf_counter() - start)
    exact = F.linear(x.double(), weight.double(), bias.double())
    rate = 2 * x.numel() * len(weight) / min(seconds[WARM:]) / 1e9
    return rate, (y - exact).abs().max().item()


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [
        '# Matrix products in float32 on a CPU',
        '',
        f'{platform.machine()}, {model()}, one thread, torch {torch.__version__}, '
        f'{time.strftime("%Y-%m-%d")}; `python benchmarks/cpu_products.py`',
        '',
        '| rows x in x out | `linear`, GFLOP/s | oneDNN | ratio | error | oneDNN |',
        '|---|---|---|---|---|---|',
    ]
    for rows, given, found in SIZES:
        x, weight = torch.randn(rows, given), torch.randn(found, given) * given**-0.5
        bias = torch.randn(found)
        (plain, error), (other, its) = (
            measured(linear, x, weight, bias) for linear in (F.linear, _onednn)
        )
        lines.append(
            f'| {rows} x {given} x {found} | {plain:.0f} | {other:.0f} | {other / plain:.2f} | '
            f'{error:.1e} | {its:.1e} |'
        )
    print('\n'.join(lines))
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


def model() -> str:
    """What the CPU is called."""
    file = Path('/proc/cpuinfo')
    text = file.read_text() if file.is_file() else ''
    found = [line.partition(':')[2].strip() for line in text.splitlines() if 'model name' in line]
    return found[0] if found else platform.processor()


if __name__ == '__main__':
    main()
