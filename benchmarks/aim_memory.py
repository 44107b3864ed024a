"""Peak memory of a training step of AIM and ZeroI2V, with and without recomputed blocks.

    python benchmarks/aim_memory.py [--out benchmarks/aim_memory_torch<version>.md]

Counted on fake tensors as side4video_memory.py does. Both back-propagate through the whole trunk;
what the authors' code took on a GPU is beside it where it is published.
"""

import argparse
import time
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from side4video_memory import peak_of_step
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mmstadapter  # noqa: F401  (registers the backbones)

AIM, ZERO = dict(type='mmstadapter.AIMViT'), dict(type='mmstadapter.ZeroI2VViT')
# name, backbone, arch, clips of 8 frames, GB published (Side4Video's Table 2, A100)
SIZES = [
    ('AIM B/16, one adapter over time', AIM, 'vit-b-p16', 32, ''),
    ('AIM B/16, two', AIM | dict(time_in=True), 'vit-b-p16', 32, '35.2'),
    ('ZeroI2V B/16', ZERO, 'vit-b-p16', 32, ''),
    ('AIM L/14, two', AIM | dict(time_in=True), 'vit-l-p14', 16, '64.3'),
    ('ZeroI2V L/14', ZERO | dict(shifts=((-1, 8), (1, 8))), 'vit-l-p14', 16, ''),
]


def peak(backbone: dict, arch: str, clips: int, with_cp: bool) -> float:
    """GB at the peak of a training step."""
    trunk = dict(type='mmstadapter.CLIPViT', arch=arch, dtype='bfloat16', tune='after_blocks')
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = MODELS.build(dict(backbone, trunk=trunk, with_cp=with_cp))
        head = nn.Linear(model.trunk.embed_dims, 400)
        return peak_of_step(model, head, torch.empty(clips, 3, 8, 224, 224))


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        '# Peak training memory of AIM and ZeroI2V, GB',
        '',
        'Fake tensors, 16-bit autocast (bfloat16), fused attention, gradients, bucket and AdamW '
        f'included; torch {torch.__version__}, {time.strftime("%Y-%m-%d")}; '
        '`python benchmarks/aim_memory.py`. Published: Side4Video, Table 2, on an A100, where a '
        "GPU's context and its allocator's unused blocks are in the figure.",
        '',
        '| model | clips x frames | published | ours | ours, `with_cp=True` |',
        '|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for name, backbone, arch, clips, published in SIZES:
        gb = [peak(backbone, arch, clips, with_cp) for with_cp in (False, True)]
        lines.append(f'| {name} | {clips} x 8 | {published} | {gb[0]:.1f} | {gb[1]:.1f} |')
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
