"""Time of a training step beside the authors' form and the plain trunk's forward.

    python benchmarks/step_time.py --compiled [--dtype bfloat16]
        [--out benchmarks/step_time_<machine>_<dtype>_torch<version>.md]

Forward and backward of ViT-B/16 on clips of 8 frames. Rounds are interleaved; what is
reported is the median ratio to the plain frozen trunk's forward in the same round.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from side4video_memory import PlainSide4Video
from torch import nn
from training_memory import PlainViT

import mmstadapter
from mmstadapter.models.ops import products
from mmstadapter.models.recomputing import tell_compiler

ONE, TWO = ('after_attn',), ('before_attn', 'after_attn')


def st_adapter(trunk: dict, positions: tuple[str, ...], plain=False, with_cp=False) -> nn.Module:
    """An ST-Adapter row; adapters are not at zero, so that nothing is skipped."""
    model = mmstadapter.STAdapterViT(trunk=trunk, positions=positions, with_cp=with_cp)
    for module in model.modules():
        if isinstance(module, mmstadapter.STAdapter):
            nn.init.normal_(module.conv.weight, std=0.02)
    return PlainViT(model) if plain else model


def side4video(trunk: dict, plain: bool = False, **fields) -> nn.Module:
    """A Side4Video row, in training mode for batch norm's sake; the authors store in float32."""
    trunk = trunk | dict(dtype='float32') if plain else trunk
    model = mmstadapter.Side4VideoViT(trunk=trunk, **fields)
    return (PlainSide4Video(model) if plain else model).train()


def compiled(model: nn.Module) -> nn.Module:
    """As ``compile = True`` of a config has it."""
    tell_compiler([model])
    model.compile()
    return model


DTYPES = {'float32': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
PLAIN = 'plain trunk, forward only'
LIGHT = dict(side_dims=192, layers='interval')
ROWS: dict[str, Callable[[dict], nn.Module]] = {
    PLAIN: lambda trunk: mmstadapter.FrameMeanViT(trunk=trunk),
    "ST-Adapter 12x384, authors' form": lambda trunk: st_adapter(trunk, ONE, plain=True),
    'ST-Adapter 12x384': lambda trunk: st_adapter(trunk, ONE),
    'ST-Adapter 12x384, with_cp': lambda trunk: st_adapter(trunk, ONE, with_cp=True),
    "ST-Adapter 24x384, authors' form": lambda trunk: st_adapter(trunk, TWO, plain=True),
    'ST-Adapter 24x384': lambda trunk: st_adapter(trunk, TWO),
    'ST-Adapter 24x384, with_cp': lambda trunk: st_adapter(trunk, TWO, with_cp=True),
    "Side4Video 6x192, authors' form": lambda trunk: side4video(trunk, True, **LIGHT),
    'Side4Video 6x192': lambda trunk: side4video(trunk, **LIGHT),
    "Side4Video 12x320, authors' form": lambda trunk: side4video(trunk, True),
    'Side4Video 12x320': lambda trunk: side4video(trunk),
    'Side4Video 12x320, with_cp': lambda trunk: side4video(trunk, with_cp=True),
}
COMPILED: dict[str, Callable[[dict], nn.Module]] = {
    'plain trunk, forward only, compiled': lambda trunk: compiled(ROWS[PLAIN](trunk)),
    'ST-Adapter 12x384, compiled': lambda trunk: compiled(st_adapter(trunk, ONE)),
    'ST-Adapter 24x384, compiled': lambda trunk: compiled(st_adapter(trunk, TWO)),
    'Side4Video 6x192, compiled': lambda trunk: compiled(side4video(trunk, **LIGHT)),
    'Side4Video 12x320, compiled': lambda trunk: compiled(side4video(trunk)),
}


@contextmanager
def products_of(model: nn.Module) -> Iterator[None]:
    """The authors' form calls some layers of ours, whose products are PyTorch's there."""
    least = products.LEAST
    if isinstance(model, PlainViT | PlainSide4Video):
        products.LEAST = sys.maxsize
    try:
        yield
    finally:
        products.LEAST = least


def step(model: nn.Module, video: torch.Tensor, dtype: torch.dtype | None) -> float:
    """Seconds of a forward and, where something is trained, a backward pass."""
    synchronise = torch.cuda.synchronize if video.is_cuda else lambda: None
    synchronise()
    start = time.perf_counter()
    with torch.autocast(video.device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        feature = model(video)
    if feature.requires_grad:
        feature.float().square().sum().backward()
    synchronise()
    return time.perf_counter() - start


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--dtype', choices=DTYPES, help='of autocast; float16 with a GPU')
    parser.add_argument('--compiled', action='store_true', help='and with `compile = True`')
    parser.add_argument('--only', default='', help='rows with this in their name, and the trunk')
    args = parser.parse_args()
    init_default_scope('mmaction')
    cuda = torch.cuda.is_available()
    device = 'cuda' if cuda else 'cpu'
    precision = args.dtype or ('float16' if cuda else 'float32')
    dtype = DTYPES[precision]
    trunk = dict(type='mmstadapter.CLIPViT', dtype=precision)
    rows = ROWS | (COMPILED if args.compiled else {})
    models = {
        name: build(trunk).to(device)
        for name, build in rows.items()
        if args.only in name or name == PLAIN
    }
    video = torch.randn(args.batch, 3, 8, 224, 224, device=device)
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(args.rounds + 1):
        for name, model in models.items():
            with products_of(model):
                times[name].append(step(model, video, dtype))
            model.zero_grad()
    times = {name: t[1:] for name, t in times.items()}  # the first round warms up
    base = times[PLAIN]
    given = [a for a in sys.argv[1:] if not a.startswith('--out') and a != str(args.out)]
    machine = torch.cuda.get_device_name() if cuda else platform.processor() or 'x86-64'
    lines = [
        "# Training step, ratio to the plain frozen trunk's forward",
        '',
        f'{machine}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, '
        f'{precision}{" autocast" if dtype else ""}, batch {args.batch}, 8 frames, '
        f'{time.strftime("%Y-%m-%d")}; `{" ".join(("python benchmarks/step_time.py", *given))}`',
        '',
        '| CLIP ViT-B/16 | seconds | ratio |',
        '|---|---|---|',
    ]
    for name, t in times.items():
        ratio = statistics.median(a / b for a, b in zip(t, base, strict=True))
        lines.append(f'| {name} | {statistics.median(t):.3f} | {ratio:.2f} |')
    print('\n'.join(lines))
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
