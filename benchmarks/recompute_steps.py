"""What each step of ``recompute`` saves and costs: peak memory, operations, least time. One run.

    python benchmarks/recompute_steps.py [--out benchmarks/recompute_steps_torch<version>.md]

Counted on fake tensors as side4video_memory.py does. The time is what an H100 cannot go below, each
operator at its roof, and no measurement. Last, what PyTorch's selective activation checkpointing
would keep in the place of our checkpoints: the results of matrix products and attention.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from side4video_memory import account_of_step
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

import mmstadapter  # noqa: F401  (registers the backbones)
from mmstadapter.models.recomputing import STEPS
from mmstadapter.planning import Account
from mmstadapter.planning.account import GB
from mmstadapter.planning.cards import find_card

BOTH = ('before_attn', 'after_attn')
ST = dict(type='mmstadapter.STAdapterViT')
SIDE = dict(type='mmstadapter.Side4VideoViT')
# name, backbone, arch, clips of 8 frames
SIZES = [
    ('ST-Adapter B/16 12x384', ST, 'vit-b-p16', 32),
    ('ST-Adapter B/16 24x384', ST | dict(positions=BOTH), 'vit-b-p16', 32),
    ('ST-Adapter L/14, one a block', ST, 'vit-l-p14', 16),
    (
        'Side4Video B/16 light 6x192',
        SIDE | dict(side_dims=192, layers='interval'),
        'vit-b-p16',
        32,
    ),
    ('Side4Video B/16 12x320', SIDE | dict(side_dims=320), 'vit-b-p16', 32),
    (
        'Side4Video L/14 light 12x320',
        SIDE | dict(side_dims=320, layers='interval'),
        'vit-l-p14',
        16,
    ),
    ('Side4Video L/14 24x512', SIDE | dict(side_dims=512), 'vit-l-p14', 16),
    ('AIM B/16, two', dict(type='mmstadapter.AIMViT', time_in=True), 'vit-b-p16', 32),
    ('ZeroI2V B/16', dict(type='mmstadapter.ZeroI2VViT'), 'vit-b-p16', 32),
]
aten = torch.ops.aten
PRODUCTS = {
    *(aten.mm.default, aten.addmm.default, aten.bmm.default),
    aten._scaled_dot_product_flash_attention_for_cpu.default,
}


def account(backbone: dict, arch: str, clips: int, change=lambda model: model) -> Account:
    """Of a training step, on a trunk in bfloat16 under its autocast."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        trunk = dict(type='mmstadapter.CLIPViT', arch=arch, dtype='bfloat16')
        model = change(MODELS.build(dict(backbone, trunk=trunk)))
        head = nn.Linear(model.out_channels, 400)
        return account_of_step(model, head, torch.empty(clips, 3, 8, 224, 224))


def selective(model: nn.Module, keeps_mlp: bool) -> nn.Module:
    """The model with every block under selective checkpointing."""
    hidden = 4 * model.trunk.embed_dims

    def policy(context, op, *args, **kwargs) -> bool:
        return op in PRODUCTS and (keeps_mlp or args[-1].shape[-1] != hidden)

    contexts = partial(create_selective_checkpoint_contexts, policy)

    def again(part, run, *given, of=None, **options):
        if part != 'block':
            return run(*given, **options)
        run = partial(run, **options)
        return checkpoint(run, *given, use_reentrant=False, context_fn=contexts)

    vars(model)['again'] = again
    return model


def row(name: str, clips: int, step: str, found: Account, first: Account) -> str:
    """A line of the table."""
    card = find_card('h100')
    more = found.operations / first.operations - 1
    milliseconds, ratio = (1e3 * a.seconds(card) for a in (found, first))
    return (
        f'| {name} | {clips} x 8 | {step} | {found.peak / GB:.2f} | '
        f'{found.operations / 1e12:.1f} | {100 * more:+.1f} % | {milliseconds:.1f} | '
        f'{milliseconds / ratio:.2f} |'
    )


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    parser.add_argument('--only', default='', help='models whose name has this')
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        '# What each step of `recompute` saves and costs',
        '',
        'Fake tensors, 16-bit autocast (bfloat16), frozen trunk in bfloat16, fused attention, '
        f'gradients, bucket and AdamW included; torch {torch.__version__}, '
        f'{time.strftime("%Y-%m-%d")}; `python benchmarks/recompute_steps.py`. The time is a lower '
        'bound for an H100 (989 TFLOP/s, 3.35 TB/s), operators uncompiled, not a measurement. '
        'Ratios are to `nothing`. SAC: selective activation checkpointing of PyTorch, a block at '
        "a time, which keeps the results of products and attention, or those but the MLP's first.",
        '',
        '| model | clips x frames | recomputed | peak GB | TFLOP | more | ms | ratio |',
        '|---|---|---|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for name, backbone, arch, clips in SIZES:
        if args.only not in name:
            continue
        first = account(backbone | dict(recompute='nothing'), arch, clips)
        for step in STEPS:
            found = first
            if step != 'nothing':
                found = account(backbone | dict(recompute=step), arch, clips)
            lines.append(row(name, clips, f'`{step}`', found, first))
            print(lines[-1], flush=True)
        if name == SIZES[0][0]:
            for keeps_mlp, words in ((True, 'SAC, products kept'), (False, 'SAC, MLP as well')):
                change = partial(selective, keeps_mlp=keeps_mlp)
                found = account(backbone | dict(recompute='nothing'), arch, clips, change)
                lines.append(row(name, clips, words, found, first))
                print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
