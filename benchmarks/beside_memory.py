"""Peak memory of a training step of EVL, DiST and TDS-CLIP, with and without recomputed layers.

    python benchmarks/beside_memory.py [--out benchmarks/beside_memory_torch<version>.md]

Counted on fake tensors as side4video_memory.py does. All stand beside a frozen trunk, of which
they keep the layers they read; what the authors' code took on a GPU is beside it.
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
from mmstadapter.models.ops.clips import frames_seen

EVL, DIST = dict(type='mmstadapter.EVLViT'), dict(type='mmstadapter.DiSTViT')
EVERY = EVL | dict(blocks='all')
TDS = dict(type='mmstadapter.TDSCLIPViT')
# name, backbone, arch, clips, frames, GB published (Side4Video's Table 2, A100)
SIZES = [
    ('EVL B/16, four layers', EVL, 'vit-b-p16', 32, 8, ''),
    ('EVL B/16, every layer', EVERY, 'vit-b-p16', 32, 8, '17.9'),
    ('DiST B/16', DIST, 'vit-b-p16', 32, 16, '12.7'),
    ('EVL L/14, every layer', EVERY, 'vit-l-p14', 16, 8, '33.0'),
    ('DiST L/14', DIST | dict(output_dims=768), 'vit-l-p14', 16, 16, '18.1'),
    ('TDS-CLIP B/16', TDS, 'vit-b-p16', 32, 8, ''),
    ('TDS-CLIP L/14', TDS | dict(side_dims=512), 'vit-l-p14', 16, 8, ''),
]


def peak(backbone: dict, arch: str, clips: int, frames: int, with_cp: bool) -> float:
    """GB at the peak of a training step."""
    trunk = dict(type='mmstadapter.CLIPViT', arch=arch, dtype='bfloat16')
    with FakeTensorMode(allow_non_fake_inputs=True):
        if 'TDS' not in backbone['type']:  # which has no table of time positions
            backbone = dict(backbone, num_frames=frames)
        model = MODELS.build(dict(backbone, trunk=trunk, with_cp=with_cp))
        head, frames = nn.Linear(model.out_channels, 400), frames_seen(model, frames)
        return peak_of_step(model, head, torch.empty(clips, 3, frames, 224, 224))


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        '# Peak training memory of EVL, DiST and TDS-CLIP, GB',
        '',
        'Fake tensors, 16-bit autocast (bfloat16), fused attention, gradients, bucket and AdamW '
        f'included; torch {torch.__version__}, {time.strftime("%Y-%m-%d")}; '
        '`python benchmarks/beside_memory.py`. Published: Side4Video, Table 2, on an A100, where a '
        "GPU's context and its allocator's unused blocks are in the figure. DiST sees 16 frames, "
        'its trunk 8; TDS-CLIP sees 40, its trunk 8.',
        '',
        '| model | clips x frames | published | ours | ours, `with_cp=True` |',
        '|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for name, backbone, arch, clips, frames, published in SIZES:
        gb = [peak(backbone, arch, clips, frames, with_cp) for with_cp in (False, True)]
        lines.append(f'| {name} | {clips} x {frames} | {published} | {gb[0]:.1f} | {gb[1]:.1f} |')
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
