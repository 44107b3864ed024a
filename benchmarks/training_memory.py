"""What a training step keeps in memory: ours beside the authors' form, same sizes, one run.

    python benchmarks/training_memory.py [--out benchmarks/training_memory_<torch>.md]

Counted with fake tensors, so that 32 clips of 8 frames need no memory here: the bytes of all
storages that autograd keeps for the backward pass under 16-bit autocast with fused
attention, plus weights, gradients and AdamW's moments. What the allocator adds (blocks it
caches, temporaries of a single operator) is not in it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mmstadapter

GB = 1e9
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
            x = x + block.attn(norm(block.ln_1, x))
            x = self.adapt(x, 'after_attn', i, num_frames)
            u = F.linear(norm(block.ln_2, x), block.mlp.c_fc.weight, block.mlp.c_fc.bias)
            u = u * torch.sigmoid(1.702 * u)
            x = x + F.linear(u, block.mlp.c_proj.weight, block.mlp.c_proj.bias)
        cls = rearrange(x[:, 0], '(b t) d -> b t d', t=num_frames)
        return norm(self.trunk.ln_post, cls.mean(dim=1))


def norm(layer: nn.Module, x: Tensor) -> Tensor:
    """Layer norm as autocast runs it: the input cast to float32 and kept so."""
    weight, bias = layer.weight.float(), layer.bias.float()
    return F.layer_norm(x.float(), layer.normalized_shape, weight, bias, layer.eps).to(x.dtype)


def kept_bytes(forward: Callable[[], Tensor], own: set[int]) -> int:
    """Bytes of the storages kept for backward, without the parameters themselves."""
    storages: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = forward()
    del out
    return sum(storages.values())


def account(model: nn.Module, clips: int) -> tuple[float, float]:
    """GB of activations and of weights, gradients and moments."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    video = torch.empty(clips, 3, 8, 224, 224)

    def forward() -> Tensor:
        with torch.autocast('cpu', torch.bfloat16):
            return model(video)

    weights = sum(p.numel() * (16 if p.requires_grad else 2) for p in model.parameters())
    kept = kept_bytes(forward, own)
    if getattr(model, 'with_cp', False):
        kept += recomputed_bytes(model, clips, own)
    return kept / GB, weights / GB


def recomputed_bytes(model: nn.Module, clips: int, own: set[int]) -> int:
    """Each block's input, which checkpointing keeps out of autograd's sight, and one block.

    The backward pass runs one block again at a time, so one block's activations are alive.
    """
    tokens = 1 + model.trunk.grid[0] * model.trunk.grid[1]
    x = torch.empty(clips * 8, tokens, model.trunk.embed_dims, dtype=torch.bfloat16)
    x.requires_grad_()

    def block() -> Tensor:
        with torch.autocast('cpu', torch.bfloat16):
            return model.run_block(x, 0, 8)

    return (len(model.trunk.blocks) - 1) * x.nbytes + kept_bytes(block, own)


def row(name: str, arch: str, positions: tuple[str, ...], clips: int) -> str:
    """One line of the table: the authors' form, ours, ours with blocks recomputed."""
    cells = []
    for plain, with_cp in ((True, False), (False, False), (False, True)):
        with FakeTensorMode(allow_non_fake_inputs=True):
            trunk = dict(type='mmstadapter.CLIPViT', arch=arch, dtype='bfloat16')
            model = mmstadapter.STAdapterViT(trunk=trunk, positions=positions, with_cp=with_cp)
            model = PlainViT(model) if plain else model
            activations, weights = account(model, clips)
        cells.append(activations + weights)
    first = cells[0]
    shown = ' | '.join(f'{c:.1f} ({c / first:.2f})' for c in cells)
    return f'| {name} | {clips} x 8 | {shown} |'


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    init_default_scope('mmaction')
    lines = [
        "# Training memory of ST-Adapter, GB (ratio to the authors' form)",
        '',
        f'Fake tensors, 16-bit autocast (bfloat16), fused attention, AdamW included; torch '
        f'{torch.__version__}, {time.strftime("%Y-%m-%d")}; `python benchmarks/training_memory.py`',
        '',
        "| model | clips x frames | authors' form | ours | ours, `with_cp=True` |",
        '|---|---|---|---|---|',
    ]
    print(*lines, sep='\n')
    for size in SIZES:
        lines.append(row(*size))
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
