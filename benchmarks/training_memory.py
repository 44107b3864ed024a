"""Peak memory of an ST-Adapter training step: ours beside the authors' form, one run.

    python benchmarks/training_memory.py [--out benchmarks/training_memory_<torch>.md]

Counted on fake tensors as side4video_memory.py does, so that 32 clips of 8 frames need no memory
here: a whole step with gradients, bucket and AdamW's moments. What a GPU's context and its
allocator's unused blocks add, 2 to 3 GB, is not in it.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.registry import init_default_scope
from plain_clip import attention, feed_forward, norm
from side4video_memory import account_of_step
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mmstadapter
from mmstadapter.planning import Account
from mmstadapter.planning.account import GB

# name, arch, positions, clips; 8 frames each: the sizes of the Side4Video paper's Table 2
SIZES = [
    ('B/16 12x384', 'vit-b-p16', ('after_attn',), 32),
    ('B/16 24x384', 'vit-b-p16', ('before_attn', 'after_attn'), 32),
    ('L/14, one a block', 'vit-l-p14', ('after_attn',), 16),
    ('L/14, two a block', 'vit-l-p14', ('before_attn', 'after_attn'), 16),
]


class PlainAdapter(nn.Module):
    """The released adapter's operations: permute, conv3d, permute, on a copied stream."""

    def __init__(self, adapter: nn.Module) -> None:
        super().__init__()
        self.fc1, self.conv, self.fc2 = adapter.fc1, adapter.conv, adapter.fc2

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """(B·T, 1+N, D) -> same."""
        side = round((x.shape[1] - 1) ** 0.5)
        u = rearrange(
            self.fc1(x[:, 1:]), '(b t) (h w) d -> b d t h w', t=num_frames, h=side
        ).contiguous()
        padding = [k // 2 for k in self.conv.kernel_size]
        u = F.conv3d(u, self.conv.weight, self.conv.bias, padding=padding, groups=u.shape[1])
        u = rearrange(u, 'b d t h w -> (b t) (h w) d').contiguous()
        return torch.cat([x[:, :1], x[:, 1:] + self.fc2(u)], dim=1)


class PlainViT(nn.Module):
    """The authors' form of the same model: stock layer norm, two-factor QuickGELU, all tokens."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.trunk = backbone.trunk
        for position in ('before_attn', 'after_attn'):
            adapters = getattr(backbone, position, {})
            plain = {i: PlainAdapter(a) for i, a in adapters.items()}
            setattr(self, position, nn.ModuleDict(plain))

    def adapt(self, x: Tensor, position: str, i: int, num_frames: int) -> Tensor:
        adapters = getattr(self, position)
        return adapters[str(i)](x, num_frames) if str(i) in adapters else x

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D)."""
        num_frames = video.shape[2]
        x = self.trunk.embed(rearrange(video, 'b c t h w -> (b t) c h w'))
        for i, block in enumerate(self.trunk.blocks):
            x = self.adapt(x, 'before_attn', i, num_frames)
            x = x + attention(block, x)
            x = self.adapt(x, 'after_attn', i, num_frames)
            x = x + feed_forward(block, x)
        cls = rearrange(x[:, 0], '(b t) d -> b t d', t=num_frames)
        return norm(self.trunk.ln_post, cls.mean(dim=1))


def peak(arch: str, positions: tuple[str, ...], clips: int, form: str) -> float:
    """GB at the peak of a training step; form 'authors', 'ours' or 'with_cp'."""
    return account(arch, positions, clips, form).peak / GB


def account(arch: str, positions: tuple[str, ...], clips: int, form: str) -> Account:
    """Of a training step; form as in `peak`."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = mmstadapter.STAdapterViT(
            trunk=dict(type='mmstadapter.CLIPViT', arch=arch, dtype='bfloat16'),
            positions=positions,
            with_cp=form == 'with_cp',
        )
        head = nn.Linear(model.trunk.embed_dims, 400)
        model = PlainViT(model) if form == 'authors' else model
        return account_of_step(model, head, torch.empty(clips, 3, 8, 224, 224))


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        "# Peak training memory of ST-Adapter, GB (ratio to the authors' form)",
        '',
        'Fake tensors, 16-bit autocast (bfloat16), fused attention, gradients, bucket and AdamW '
        f'included; torch '
        f'{torch.__version__}, {time.strftime("%Y-%m-%d")}; `python benchmarks/training_memory.py`',
        '',
        "| model | clips x frames | authors' form | ours | ours, `recompute='block'` |",
        '|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for name, arch, positions, clips in SIZES:
        forms = ('authors', 'ours', 'with_cp')
        gb = [peak(arch, positions, clips, form) for form in forms]
        cells = ' | '.join(f'{g:.1f} ({g / gb[0]:.2f})' for g in gb)
        lines.append(f'| {name} | {clips} x 8 | {cells} |')
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
