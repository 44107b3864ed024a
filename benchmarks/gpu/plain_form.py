"""The same models written straightforwardly: stock operators, nothing recomputed.

What somebody would write from the papers' formulas, and what the released code does: layer norm
of a float32 copy, ``u * sigmoid(1.702 u)``, permute - Conv3d - permute, BatchNorm over
(B, C, T, h, w), all tokens of all layers, all frames at once. It reads the parameters of one of
our models, so the two can be compared number for number and side by side.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

import mmstadapter


class PlainForm(nn.Module):
    """`STAdapterViT` or `Side4VideoViT` (pre-norm, released options) in plain operators.

    Args:
        model: ours; its parameters are used as they are.
        attention: 'fused', or 'products' for the explicit matrix products and softmax.
    """

    def __init__(self, model: nn.Module, attention: str = 'fused') -> None:
        super().__init__()
        self.model, self.attention = model, attention

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D)."""
        if isinstance(self.model, mmstadapter.STAdapterViT):
            return self.st_adapter(video)
        return self.side4video(video)

    # ------------------------------------------------------------------ trunk

    def embed(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, 1+N, D)."""
        trunk = self.model.trunk
        frames = rearrange(video, 'b c t h w -> (b t) c h w')
        x = F.conv2d(frames, beside(frames, trunk.conv1.weight), stride=trunk.patch_size)
        x = x.flatten(2).transpose(1, 2)
        cls = trunk.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([cls, x], dim=1) + trunk.positional_embedding.to(x.dtype)
        return layer_norm(trunk.ln_pre, x)

    def attend(self, block: nn.Module, x: Tensor) -> Tensor:
        """X + attention branch, (M, L, D) -> same."""
        attn, y = block.attn, layer_norm(block.ln_1, x)
        qkv = linear(y, attn.in_proj_weight, attn.in_proj_bias)
        q, k, v = rearrange(qkv, 'm l (n h d) -> n m h l d', n=3, h=attn.num_heads)
        y = rearrange(self.mix(q, k, v), 'm h l d -> m l (h d)')
        return x + linear(y, attn.out_proj.weight, attn.out_proj.bias)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """softmax(q k / sqrt d) v."""
        if self.attention == 'fused':
            return F.scaled_dot_product_attention(q, k, v)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        return scores.softmax(dim=-1).to(v.dtype) @ v

    @staticmethod
    def feed_forward(block: nn.Module, x: Tensor) -> Tensor:
        """X + MLP branch, (M, L, D) -> same."""
        u = linear(layer_norm(block.ln_2, x), block.mlp.c_fc.weight, block.mlp.c_fc.bias)
        u = u * torch.sigmoid(1.702 * u)
        return x + linear(u, block.mlp.c_proj.weight, block.mlp.c_proj.bias)

    # ------------------------------------------------------------- ST-Adapter

    def st_adapter(self, video: Tensor) -> Tensor:
        """Mean class token of all frames, then the last norm."""
        num_frames, x = video.shape[2], self.embed(video)
        for i, block in enumerate(self.model.trunk.blocks):
            x = self.adapt('before_attn', i, x, num_frames)
            x = self.attend(block, x)
            x = self.adapt('after_attn', i, x, num_frames)
            x = self.feed_forward(block, x)
        cls = rearrange(x[:, 0], '(b t) d -> b t d', t=num_frames).mean(dim=1)
        return layer_norm(self.model.trunk.ln_post, cls)

    def adapt(self, position: str, i: int, x: Tensor, num_frames: int) -> Tensor:
        """Down, depth-wise Conv3d, up, added to the patches in place. (B·T, 1+N, D) -> same."""
        adapters = getattr(self.model, position, {})
        if str(i) not in adapters:
            return x
        adapter, grid = adapters[str(i)], self.model.trunk.grid
        u = linear(x[:, 1:], adapter.fc1.weight, adapter.fc1.bias)
        u = volume(u, num_frames, grid)
        conv = adapter.conv
        padding = [k // 2 for k in conv.kernel_size]
        u = F.conv3d(u, beside(u, conv.weight), beside(u, conv.bias), 1, padding, 1, u.shape[1])
        u = linear(tokens(u), adapter.fc2.weight, adapter.fc2.bias)
        x = x.clone()
        x[:, 1:] += u
        return x

    # ------------------------------------------------------------- Side4Video

    def side4video(self, video: Tensor) -> Tensor:
        """Mean over frames and patches of the side tokens."""
        side, trunk, num_frames = self.model.side, self.model.trunk, video.shape[2]
        conv = side.stem.conv
        s = F.conv3d(
            video, beside(video, conv.weight), beside(video, conv.bias), conv.stride, conv.padding
        )
        s = tokens(self.batch_norm(side.stem.norm, s))
        x = self.embed(video)
        for i, block in enumerate(trunk.blocks):
            x = self.feed_forward(block, self.attend(block, x))
            if i in side.reads:
                s = self.side_block(side.blocks[side.reads.index(i)], s, x, num_frames)
        s = self.batch_norm(side.norm, volume(s, num_frames, trunk.grid))
        return s.mean(dim=(2, 3, 4))

    def side_block(self, block: nn.Module, s: Tensor, x: Tensor, num_frames: int) -> Tensor:
        """(B·T, N, C) and the layer's tokens (B·T, 1+N, D) -> (B·T, N, C)."""
        grid = self.model.trunk.grid
        down = block.down.linear
        z = linear(layer_norm(block.down.norm, x), down.weight, down.bias)
        s = 0.5 * s + 0.5 * z[:, 1:]
        u = self.batch_norm(block.bn_1, volume(s, num_frames, grid))
        u = pointwise(u, block.conv.pw1)
        dw = block.conv.dw
        u = F.conv3d(u, beside(u, dw.weight), beside(u, dw.bias), 1, (1, 0, 0), 1, u.shape[1])
        s = s + tokens(pointwise(u, block.conv.pw2))
        s = s + self.over_space(block, s, z, num_frames)
        u = tokens(self.batch_norm(block.bn_2, volume(s, num_frames, grid)))
        u = F.gelu(linear(u, block.mlp.fc1.weight, block.mlp.fc1.bias))
        return s + linear(u, block.mlp.fc2.weight, block.mlp.fc2.bias)

    def over_space(self, block: nn.Module, s: Tensor, z: Tensor, num_frames: int) -> Tensor:
        """Patches look at themselves and the shifted class token. (M, N, C) -> same."""
        cls = rearrange(z[:, 0], '(b t) c -> b t c', t=num_frames)
        half = cls.shape[-1] // 2
        moved = torch.zeros_like(cls)
        moved[:, :-1, :half] = cls[:, 1:, :half]
        moved[:, 1:, half:] = cls[:, :-1, half:]
        moved = rearrange(moved, 'b t c -> (b t) 1 c')
        positions = self.model.side.position_embedding
        a = torch.cat([moved, s + positions.to(s.dtype)], dim=1)
        a = layer_norm(block.ln_1, a)
        weight, bias = block.attn.in_proj.weight, block.attn.in_proj.bias
        dims = s.shape[-1]
        q = linear(a[:, 1:], weight[:dims], bias[:dims])
        kv = linear(a, weight[dims:], bias[dims:])
        q = rearrange(q, 'm l (h d) -> m h l d', d=block.attn.head_dims)
        k, v = rearrange(kv, 'm l (n h d) -> n m h l d', n=2, d=block.attn.head_dims)
        y = rearrange(self.mix(q, k, v), 'm h l d -> m l (h d)')
        return linear(y, block.attn.out_proj.weight, block.attn.out_proj.bias)

    def batch_norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        """BatchNorm3d of (B, C, T, h, w), without the running statistics' update."""
        training = norm.training
        mean, var = (None, None) if training else (norm.running_mean, norm.running_var)
        weight, bias = norm.weight, norm.bias
        if x.dtype == torch.float64:
            weight, bias = weight.double(), bias.double()
        return F.batch_norm(x, mean, var, weight, bias, training, 0.1, norm.eps)


class PlainTrunk(nn.Module):
    """The plain frozen trunk, all frames at once: the floor under every method."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.form = PlainForm(model)

    @torch.no_grad()
    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B·T, D)."""
        x = self.form.embed(video)
        for block in self.form.model.trunk.blocks:
            x = self.form.feed_forward(block, self.form.attend(block, x))
        return x[:, 0]


def beside(x: Tensor, weight: Tensor) -> Tensor:
    """A weight for arithmetic with x; autocast chooses for itself."""
    return weight if torch.is_autocast_enabled(x.device.type) else weight.to(x.dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(..., in) -> (..., out)."""
    return F.linear(x, beside(x, weight), beside(x, bias))


def layer_norm(norm: nn.Module, x: Tensor) -> Tensor:
    """CLIP's: a float32 copy is normalised, the result cast back."""
    y = x if x.dtype == torch.float64 else x.float()
    weight, bias = norm.weight.to(y.dtype), norm.bias.to(y.dtype)
    return F.layer_norm(y, weight.shape, weight, bias, norm.eps).to(x.dtype)


def pointwise(u: Tensor, layer: nn.Linear) -> Tensor:
    """A 1x1x1 convolution of (B, C, T, h, w)."""
    return F.conv3d(u, beside(u, layer.weight)[:, :, None, None, None], beside(u, layer.bias))


def volume(s: Tensor, num_frames: int, grid: tuple[int, int]) -> Tensor:
    """(B·T, h·w, C) -> (B, C, T, h, w), copied."""
    return rearrange(s, '(b t) (h w) c -> b c t h w', t=num_frames, h=grid[0]).contiguous()


def tokens(x: Tensor) -> Tensor:
    """(B, C, T, h, w) -> (B·T, h·w, C), copied."""
    return rearrange(x, 'b c t h w -> (b t) (h w) c').contiguous()
