"""Error of the side network's gradients in float32: ours beside the authors' form.

    python benchmarks/side4video_gradients.py [--out benchmarks/side4video_gradients_<...>.md]

At full size, with random weights, and random tokens in the place of a ViT-B/16's layers, the
same for all, so that what is measured is the side network alone. The yardstick is the authors'
form in float64. A tensor's error is the length of the difference over the length of the gradient.
"""

import argparse
import platform
import statistics
import time
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.registry import init_default_scope
from side4video_memory import NUM_FRAMES, PlainSide4Video
from torch import Tensor, nn

import mmstadapter

FRAMES_PER_PASS = 64
# name, side width, layers read, clips
SIZES = [
    ('12x320', 320, 'all', 2),
    ('light 6x192', 192, 'interval', 2),
    ('one block of 320', 320, 'top_1', 8),
]
NOTHING = 1e-6  # of the longest gradient; shorter ones are rounding, as a bias's before a norm
OUR_NAMES = {
    'stem.weight': 'stem.conv.weight',
    'stem.bias': 'stem.conv.bias',
    'stem_norm.': 'stem.norm.',
    'positions': 'position_embedding',
    '.conv.0.': '.conv.pw1.',
    '.conv.1.': '.conv.dw.',
    '.conv.2.': '.conv.pw2.',
    '.in_proj_': '.in_proj.',
}


def authors_form(side: nn.Module, trunk: nn.Module) -> nn.Module:
    """The authors' operations with the same weights, in float64."""
    plain = PlainSide4Video(SimpleNamespace(trunk=trunk, side=deepcopy(side)))
    del plain.trunk
    weights = dict(side.named_parameters())
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(weights[our_name(name)].view_as(parameter))
    return plain.double()


def our_name(name: str) -> str:
    """The name in our side network of a parameter of the authors' form."""
    for theirs, ours in OUR_NAMES.items():
        if theirs in name:
            return name.replace(theirs, ours)
    return name


def run_theirs(plain: nn.Module, video: Tensor, layers: list[Tensor]) -> Tensor:
    """(B, 3, T, H, W) and the layers read (B·T, 1 + N, D) -> (B, C)."""
    s = plain.start(video)
    for block, tokens in zip(plain.blocks, layers, strict=True):
        s = block(s, tokens, plain.positions)
    return plain.finish(s)


def run_ours(side: nn.Module, video: Tensor, layers: list[Tensor]) -> Tensor:
    """The same, the tokens in chunks as a trunk gives them."""
    trunk, s = SimpleNamespace(num_prefix_tokens=1), side.start(video)
    for layer, tokens in zip(side.reads, layers, strict=True):
        s = side.read(s, layer, tokens.split(FRAMES_PER_PASS), trunk, NUM_FRAMES)
    return side.finish(s, (), trunk, NUM_FRAMES)


def gradients(run, net: nn.Module, video: Tensor, layers: list[Tensor]) -> dict[str, Tensor]:
    """Of a fixed weighted sum of the features, by our names."""
    kind = next(net.parameters()).dtype
    feature = run(net, video.to(kind), [tokens.to(kind) for tokens in layers])
    weights = torch.randn(feature.shape, generator=torch.Generator().manual_seed(1))
    (feature * weights).sum().backward()
    found = {our_name(name): p.grad.flatten().double() for name, p in net.named_parameters()}
    net.zero_grad()
    return found


def errors(found: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """Relative error of each tensor whose gradient is not zero but for rounding."""
    lengths = {name: grad.norm().item() for name, grad in exact.items()}
    least = NOTHING * max(lengths.values())
    return {
        name: (found[name] - grad).norm().item() / lengths[name]
        for name, grad in exact.items()
        if lengths[name] > least
    }


def measure(side_dims: int, layers: str, clips: int) -> dict[str, dict[str, float]]:
    """Errors of the three forms by tensor."""
    torch.manual_seed(0)
    with torch.device('meta'):
        trunk = mmstadapter.CLIPViT('vit-b-p16')
    side = mmstadapter.SideNetwork(trunk, side_dims=side_dims, layers=layers).train()
    tokens = [torch.randn(clips * NUM_FRAMES, 197, 768) for _ in side.reads]
    video = torch.randn(clips, 3, NUM_FRAMES, 224, 224)
    plain = authors_form(side, trunk)
    exact = gradients(run_theirs, plain, video, tokens)
    found = {"authors' form": gradients(run_theirs, plain.float(), video, tokens)}
    for side.with_cp, name in ((False, 'ours'), (True, 'ours, `with_cp`')):
        found[name] = gradients(run_ours, side, video, tokens)
    return {name: errors(grads, exact) for name, grads in found.items()}


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    parser.add_argument('--tensors', type=int, default=0, help='so many of the worst of each')
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        "# Error of the side network's gradients in float32",
        '',
        f'{platform.processor() or "x86-64"}, {torch.get_num_threads()} thread(s), torch '
        f'{torch.__version__}, {time.strftime("%Y-%m-%d")}; random weights and tokens of '
        f"ViT-B/16's size, {NUM_FRAMES} frames; against the authors' form in float64; "
        '`python benchmarks/side4video_gradients.py`',
        '',
        '| side network | clips (rows of a norm) | form | worst tensor | its relative error | '
        'median |',
        '|---|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for size, side_dims, layers, clips in SIZES:
        rows = clips * NUM_FRAMES * 196
        for form, found in measure(side_dims, layers, clips).items():
            worst = max(found, key=found.__getitem__)
            lines.append(
                f'| {size} | {clips} ({rows:,}) | {form} | `{worst}` | {found[worst]:.1e} | '
                f'{statistics.median(found.values()):.1e} |'
            )
            print(lines[-1], flush=True)
            for name in sorted(found, key=found.__getitem__)[-1 : -1 - args.tensors : -1]:
                print(f'    {name} {found[name]:.1e}')
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
