"""Time of a training step beside the authors' form and the plain trunk's forward.

    python benchmarks/step_time.py [--out benchmarks/step_time_<machine>_<torch>.md]

Forward and backward of ViT-B/16 on clips of 8 frames. Rounds are interleaved; what is
reported is the median ratio to the plain frozen trunk's forward in the same round.
"""

import argparse
import platform
import statistics
import time
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from torch import nn
from training_memory import PlainViT

import mmstadapter

FORMS = {
    'plain trunk, forward only': None,
    "12x384, authors' form": (('after_attn',), True, False),
    '12x384': (('after_attn',), False, False),
    '12x384, with_cp': (('after_attn',), False, True),
    "24x384, authors' form": (('before_attn', 'after_attn'), True, False),
    '24x384': (('before_attn', 'after_attn'), False, False),
    '24x384, with_cp': (('before_attn', 'after_attn'), False, True),
}


def build(form: tuple | None, trunk: dict) -> nn.Module:
    """The model of a row; adapters are not at zero, so that nothing is skipped."""
    if form is None:
        return mmstadapter.FrameMeanViT(trunk=trunk)
    positions, plain, with_cp = form
    model = mmstadapter.STAdapterViT(trunk=trunk, positions=positions, with_cp=with_cp)
    for module in model.modules():
        if isinstance(module, mmstadapter.STAdapter):
            nn.init.normal_(module.conv.weight, std=0.02)
    return PlainViT(model) if plain else model


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
    args = parser.parse_args()
    init_default_scope('mmaction')
    cuda = torch.cuda.is_available()
    device, dtype = ('cuda', torch.float16) if cuda else ('cpu', None)
    trunk = dict(type='mmstadapter.CLIPViT', dtype='float16' if cuda else None)
    models = {name: build(form, trunk).to(device) for name, form in FORMS.items()}
    video = torch.randn(args.batch, 3, 8, 224, 224, device=device)
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(args.rounds + 1):
        for name, model in models.items():
            times[name].append(step(model, video, dtype))
            model.zero_grad()
    times = {name: t[1:] for name, t in times.items()}  # the first round warms up
    base = times['plain trunk, forward only']
    machine = torch.cuda.get_device_name() if cuda else platform.processor() or 'x86-64'
    lines = [
        "# Training step, ratio to the plain frozen trunk's forward",
        '',
        f'{machine}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, '
        f'{"float16 autocast" if cuda else "float32"}, batch {args.batch}, 8 frames, '
        f'{time.strftime("%Y-%m-%d")}; `python benchmarks/step_time.py`',
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
