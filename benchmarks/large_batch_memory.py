"""Peak memory of a retrieval training step of 128 pairs, whole and in parts, in one process.

    python benchmarks/large_batch_memory.py [--out benchmarks/large_batch_memory_<torch>.md]

Counted as in `side4video_memory.py`, on fake tensors under 16-bit autocast: forward, loss of
all pairs, backward, two moments and a gradient bucket. `micro_batch` keeps the gradients of the
whole batch for a second forward pass.
"""

import argparse
import time
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from torch._subclasses.fake_tensor import FakeTensorMode

from mmstadapter import Retriever
from mmstadapter.planning import account_of
from mmstadapter.planning.account import GB
from mmstadapter.planning.step import loss_of

PAIRS, FRAMES, WORDS = 128, 12, 32
PARTS = (None, 16)
SIDE4VIDEO = dict(type='mmstadapter.Side4VideoViT', cls_position=True, output='frames')
TOKEN = dict(type='mmstadapter.TokenSimilarity', embed_dims=512)
# name, arch of the trunk, what it tunes, backbone, similarity
MODELS = [
    (
        'CLIP4Clip B/32, mean-pooled, all tuned',
        'vit-b-p32',
        'all',
        dict(type='mmstadapter.FrameMeanViT', output='frames'),
        dict(type='mmstadapter.MeanPoolSimilarity'),
    ),
    ('Side4Video B/16, token-wise', 'vit-b-p16', 'after_blocks', SIDE4VIDEO, TOKEN),
]


def peak(arch: str, tune: str, backbone: dict, similarity: dict, micro_batch: int | None) -> float:
    """GB at the peak of a training step."""
    trunk = dict(type='mmstadapter.CLIPViT', arch=arch, tune=tune, with_proj=True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = Retriever(
            backbone=backbone | dict(trunk=trunk),
            text_tower=dict(type='mmstadapter.CLIPText'),
            tokenizer=dict(type='mmstadapter.WordTokenizer', words=['-']),
            similarity=similarity,
            micro_batch=micro_batch,
        ).train()
        video = torch.empty(PAIRS, 3, FRAMES, 224, 224)
        ids = torch.zeros(PAIRS, WORDS, dtype=torch.long)
        account = account_of(
            lambda: loss_of(model, video, ids=ids), model, [video], autocast=torch.bfloat16
        )
    return account.peak / GB


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        f'# Peak memory of {PAIRS} pairs of {FRAMES} frames and {WORDS} words in a process, GB',
        '',
        'Fake tensors, 16-bit autocast (bfloat16), fused attention, float32 weights, gradients, '
        f'bucket and moments included; torch {torch.__version__}, {time.strftime("%Y-%m-%d")}; '
        '`python benchmarks/large_batch_memory.py`',
        '',
        '| model | whole | ' + ' | '.join(f'`micro_batch={size}`' for size in PARTS[1:]) + ' |',
        '|---' * (len(PARTS) + 1) + '|',
    ]
    print(*lines, sep='\n')
    for name, *options in MODELS:
        cells = ' | '.join(f'{peak(*options, size):.1f}' for size in PARTS)
        lines.append(f'| {name} | {cells} |')
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
