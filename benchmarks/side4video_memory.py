"""Peak memory of a Side4Video training step: ours beside the authors' form, one run.

    python benchmarks/side4video_memory.py [--out benchmarks/side4video_memory_<torch>.md]

A whole step (forward, loss, backward, AdamW's moments in place, a gradient bucket as
DistributedDataParallel has) on fake tensors, accounted for by `mmstadapter.planning`, under
16-bit autocast with fused attention, so that 32 clips of 8 frames need no memory here. What a
GPU's context and its allocator's unused blocks add, 2 to 3 GB, is not in it.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.registry import init_default_scope
from plain_clip import attention, feed_forward
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mmstadapter
from mmstadapter.models.backbones.side4video.operators import shifted_class_tokens
from mmstadapter.planning import Account, account_of
from mmstadapter.planning.account import GB

# name, arch, side width, layers, clips, the paper's GB (Table 2), the limit to keep
SIZES = [
    ('B/16 light 6x192', 'vit-b-p16', 192, 'interval', 32, 8.9, 2.6),
    ('B/16 12x320', 'vit-b-p16', 320, 'all', 32, 18.8, 6.7),
    ('L/14 light 12x320', 'vit-l-p14', 320, 'interval', 16, 15.3, 5.4),
    ('L/14 24x512', 'vit-l-p14', 512, 'all', 16, 37.0, 14.0),
    ('E/14 32x576', 'eva-e-p14', 576, 'interval', 16, None, None),  # recipe: with_cp
]
NUM_FRAMES = 8


class PlainBlock(nn.Module):
    """The authors' operations of a side block: convolutions and batch norms on (B, C, T, h, w)."""

    def __init__(self, block: nn.Module, grid: tuple[int, int]) -> None:
        super().__init__()
        dims = block.ln_1.weight.numel()
        self.grid, self.down = grid, block.down
        self.bn_1, self.bn_2 = nn.BatchNorm3d(dims), nn.BatchNorm3d(dims)
        self.conv = nn.Sequential(
            nn.Conv3d(dims, dims, 1),
            nn.Conv3d(dims, dims, (3, 1, 1), padding=(1, 0, 0), groups=dims),
            nn.Conv3d(dims, dims, 1),
        )
        self.ln_1, self.mlp = block.ln_1, block.mlp
        self.attn = nn.MultiheadAttention(dims, dims // 64, batch_first=True)

    def forward(self, s: Tensor, tokens: Tensor, positions: Tensor) -> Tensor:
        """(B·T, N, C), (B·T, 1+N, D) -> (B·T, N, C)."""
        z = self.down.linear(layer_norm(self.down.norm, tokens))
        s = 0.5 * s + 0.5 * z[:, 1:]
        s = s + self.tokens(self.conv(self.bn_1(self.volume(s))))
        keys = torch.cat([shifted_class_tokens(z, NUM_FRAMES), s + positions.to(s.dtype)], dim=1)
        keys = layer_norm(self.ln_1, keys)
        s = s + self.attn(keys[:, 1:], keys, keys, need_weights=False)[0]
        u = self.tokens(self.bn_2(self.volume(s)))
        return s + self.mlp.fc2(F.gelu(self.mlp.fc1(u)))

    def volume(self, s: Tensor) -> Tensor:
        """(B·T, N, C) -> (B, C, T, h, w), copied."""
        pattern = '(b t) (h w) c -> b c t h w'
        return rearrange(s, pattern, t=NUM_FRAMES, h=self.grid[0]).contiguous()

    def tokens(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B·T, N, C), copied."""
        return rearrange(x, 'b c t h w -> (b t) (h w) c').contiguous()


class PlainSide4Video(nn.Module):
    """The authors' form of the model: all frames at once, every operand kept."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trunk, self.stem = model.trunk, model.side.stem.conv
        self.stem_norm = nn.BatchNorm3d(self.stem.out_channels)
        self.norm = nn.BatchNorm3d(self.stem.out_channels)
        self.positions, self.reads = model.side.position_embedding, model.side.reads
        grid = model.trunk.grid
        self.blocks = nn.ModuleList(PlainBlock(block, grid) for block in model.side.blocks)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, C)."""
        s = self.start(video)
        x = self.trunk.embed(rearrange(video, 'b c t h w -> (b t) c h w'))
        for i, block in enumerate(self.trunk.blocks):
            x = x + attention(block, x)
            x = x + feed_forward(block, x)
            if i in self.reads:
                s = self.blocks[self.reads.index(i)](s, x, self.positions)
        return self.finish(s)

    def start(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, N, C)."""
        stem = self.stem
        s = F.conv3d(video, stem.weight, stem.bias, stem.stride, stem.padding)
        return self.blocks[0].tokens(self.stem_norm(s))

    def finish(self, s: Tensor) -> Tensor:
        """(B·T, N, C) -> (B, C)."""
        return self.norm(self.blocks[0].volume(s)).mean(dim=(2, 3, 4))


def layer_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """As autocast runs it on GPUs: the input cast to the weights' type and kept so."""
    x = x.to(norm.weight.dtype)
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def peak(arch: str, side_dims: int, layers: str, clips: int, form: str) -> float | None:
    """GB at the peak of a training step; form 'authors' (of CLIP trunks), 'ours' or 'with_cp'."""
    if form == 'authors' and arch.startswith('eva'):
        return None
    return account(arch, side_dims, layers, clips, form).peak / GB


def account(arch: str, side_dims: int, layers: str, clips: int, form: str) -> Account:
    """Of a training step; form as in `peak`."""
    is_eva = arch.startswith('eva')
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = mmstadapter.Side4VideoViT(
            trunk=dict(
                type='mmstadapter.EVAViT' if is_eva else 'mmstadapter.CLIPViT',
                arch=arch,
                dtype='float32' if form == 'authors' else 'bfloat16',
            ),
            side_dims=side_dims,
            layers=layers,
            norm='post' if is_eva else 'pre',
            with_cp=form == 'with_cp',
        )
        model = PlainSide4Video(model) if form == 'authors' else model
        head = nn.Linear(side_dims, 174)
        return account_of_step(model, head, torch.empty(clips, 3, NUM_FRAMES, 224, 224))


def peak_of_step(model: nn.Module, head: nn.Module, video: Tensor) -> float:
    """GB at the peak of forward, backward and AdamW's step, on fake tensors."""
    return account_of_step(model, head, video).peak / GB


def account_of_step(model: nn.Module, head: nn.Module, video: Tensor) -> Account:
    """Of forward, backward and AdamW's step, on fake tensors."""
    both = nn.ModuleList([model, head]).train()
    labels = torch.zeros(len(video), dtype=torch.long)
    return account_of(
        lambda: F.cross_entropy(head(model(video)).float(), labels),
        both,
        [video],
        autocast=torch.bfloat16,
    )


def cell(gb: float | None, authors: float | None) -> str:
    """A figure, and its ratio to the authors' where that is known."""
    if gb is None:
        return '–'
    return f'{gb:.1f}' if authors is None else f'{gb:.1f} ({gb / authors:.2f})'


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        "# Peak training memory of Side4Video, GB (ratio to the authors' form)",
        '',
        'Fake tensors, 16-bit autocast (bfloat16), fused attention, gradients, bucket and AdamW '
        f'included, frozen trunk in bfloat16 (authors: float32); torch {torch.__version__}, '
        f'{time.strftime("%Y-%m-%d")}; `python benchmarks/side4video_memory.py`',
        '',
        "| model | clips x frames | paper, A100 | authors' form | ours | ours, `with_cp=True` | "
        'limit |',
        '|---|---|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for name, arch, dims, layers, clips, paper, limit in SIZES:
        forms = ('authors', 'ours', 'with_cp')
        gb = [peak(arch, dims, layers, clips, form) for form in forms]
        cells = ' | '.join(cell(g, gb[0]) for g in gb)
        sizes = f'{name} | {clips} x {NUM_FRAMES} | {paper or "–"}'
        lines.append(f'| {sizes} | {cells} | {limit or "–"} |')
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
