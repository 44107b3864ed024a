"""Side4Video's side network once more, in plain tensor arithmetic and from its equations alone.

Slow, in the type of its inputs, every step as it is written down in the paper's section 3 and
Table 9 and, where these are silent, computed by the released code. Weights are named as in
`Side4VideoViT.side`'s state dict.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class PlainSideNetwork:
    """The network of given weights.

    Args:
        weights: tensors by name, those of a gradient included.
        options: ``side``'s options of `Side4VideoViT`, all that are not weights.
        reads: indices of the trunk layers read.
        training: whether batch norms take the batch's statistics.
    """

    def __init__(self, weights: dict[str, Tensor], options: dict, reads: list, training: bool):
        self.weights, self.options, self.reads, self.training = weights, options, reads, training
        self.statistics: dict[str, Tensor] = {}  # running ones, after the pass

    def __call__(self, video: Tensor, layers: list[Tensor], patch_size: int) -> Tensor:
        """(B, 3, T, H, W) and the trunk's layers (B·T, 1 + N, D) -> (B, C)."""
        p, o = patch_size, self.options
        w, b = (self.weights[f'stem.conv.{name}'] for name in ('weight', 'bias'))
        s = F.conv3d(video, w, b, stride=(1, p, p), padding=(1, 0, 0))
        self.clips, self.frames = len(video), video.shape[2]
        s = self.batch_norm('stem.norm', s.permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1))
        if o['representation'] != 'avg_pool':
            own = self.weights.get('class_token', torch.zeros_like(s[0, 0]))
            s = torch.cat([own.expand(len(s), 1, -1), s], dim=1)
        for k, layer in enumerate(self.reads):
            s = self.block(f'blocks.{k}', s, layers[layer])
        if 'norm.weight' in self.weights:
            s = self.batch_norm('norm', s)
        x = s.mean(1) if o['representation'] == 'avg_pool' else s[:, 0]
        return x.unflatten(0, (self.clips, self.frames)).mean(1)

    def block(self, name: str, s: Tensor, z: Tensor) -> Tensor:
        """Tokens (B·T, L, C) and a trunk layer -> (B·T, L, C)."""
        o, post = self.options, self.options['norm'] == 'post'
        if post:
            z = self.layer_norm(f'{name}.down.norm', self.linear(f'{name}.down.linear', z))
        else:
            z = self.linear(f'{name}.down.linear', self.layer_norm(f'{name}.down.norm', z))
        taken = z[:, -s.shape[1] :]
        fused = s + taken if o['fusion'] == 'sum' else s / 2 + taken / 2
        if o['representation'] == 'side_cls':
            fused = torch.cat([s[:, :1], fused[:, 1:]], dim=1)
        s = fused
        if o['temporal'] != 'none':
            over_time = self.conv if o['temporal'] == 'conv' else self.time_attention
            if post:
                s = s + self.batch_norm(f'{name}.bn_1', over_time(name, s))
            else:
                s = s + over_time(name, self.batch_norm(f'{name}.bn_1', s))
        x = self.seen(s, z)
        x = x if post else self.layer_norm(f'{name}.ln_1', x)
        q, k, v = self.linear(f'{name}.attn.in_proj', x).chunk(3, dim=-1)
        x = self.attention(q[:, -s.shape[1] :], k, v)
        x = self.linear(f'{name}.attn.out_proj', x)
        s = s + (self.layer_norm(f'{name}.ln_1', x) if post else x)
        if post:
            return s + self.batch_norm(f'{name}.bn_2', self.mlp(name, s))
        return s + self.mlp(name, self.batch_norm(f'{name}.bn_2', s))

    def conv(self, name: str, s: Tensor) -> Tensor:
        """Pointwise, three frames, pointwise."""
        u = self.by_clip(self.linear(f'{name}.conv.pw1', s))
        taps = self.weights[f'{name}.conv.dw.weight'].flatten(1)  # (C, 3)
        nothing = torch.zeros_like(u[:, :1])
        before = torch.cat([nothing, u[:, :-1]], dim=1)
        after = torch.cat([u[:, 1:], nothing], dim=1)
        u = before * taps[:, 0] + u * taps[:, 1] + after * taps[:, 2]
        return self.linear(
            f'{name}.conv.pw2', (u + self.weights[f'{name}.conv.dw.bias']).flatten(0, 1)
        )

    def time_attention(self, name: str, s: Tensor) -> Tensor:
        """Self-attention of the frames at each place."""
        lines = self.by_clip(self.linear(f'{name}.time_attn.qkv', s)).transpose(1, 2)
        x = self.attention(*lines.flatten(0, 1).chunk(3, dim=-1))
        x = x.unflatten(0, (self.clips, -1)).transpose(1, 2).flatten(0, 1)
        return self.linear(f'{name}.time_attn.proj', x)

    def seen(self, s: Tensor, z: Tensor) -> Tensor:
        """What attention sees: shifted class token, tokens, positions on the last of them."""
        if self.options['cls_shift']:
            cls = self.by_clip(z[:, :1])
            nothing, half = torch.zeros_like(cls[:, :1]), cls.shape[-1] // 2
            after = torch.cat([cls[:, 1:], nothing], dim=1)[..., :half]
            before = torch.cat([nothing, cls[:, :-1]], dim=1)[..., half:]
            s = torch.cat([torch.cat([after, before], dim=-1).flatten(0, 1), s], dim=1)
        table = self.weights['position_embedding']
        first = s.shape[1] - len(table)
        return torch.cat([s[:, :first], s[:, first:] + table], dim=1)

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(M, Q, C) and (M, K, C) -> (M, Q, C), head by head."""
        dims = self.options['head_dims']
        heads = zip(*(x.split(dims, dim=-1) for x in (q, k, v)), strict=True)
        mixed = [(a @ b.mT * dims**-0.5).softmax(-1) @ c for a, b, c in heads]
        return torch.cat(mixed, dim=-1)

    def mlp(self, name: str, s: Tensor) -> Tensor:
        """Two maps around an exact GELU."""
        u = self.linear(f'{name}.mlp.fc1', s)
        return self.linear(f'{name}.mlp.fc2', u * (1 + torch.erf(u / 2**0.5)) / 2)

    def by_clip(self, s: Tensor) -> Tensor:
        """(B·T, L, C) -> (B, T, L, C)."""
        return s.unflatten(0, (self.clips, self.frames))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """A linear map."""
        return x @ self.weights[f'{name}.weight'].T + self.weights[f'{name}.bias']

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        """Over the channels of a token."""
        var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
        return self.scaled(name, (x - mean) / (var + 1e-5).sqrt())

    def batch_norm(self, name: str, x: Tensor) -> Tensor:
        """Over all tokens of the batch, or with running statistics."""
        names = f'{name}.running_mean', f'{name}.running_var'
        mean, var = (self.weights[n] for n in names)
        if self.training:
            rows = x.flatten(0, 1)
            for n, old, new in zip(names, (mean, var), (rows.mean(0), rows.var(0)), strict=True):
                self.statistics[n] = (0.9 * old + 0.1 * new).detach()
            mean, var = rows.mean(0), rows.var(0, correction=0)
        return self.scaled(name, (x - mean) / (var + 1e-5).sqrt())

    def scaled(self, name: str, x: Tensor) -> Tensor:
        """A norm's weight and bias."""
        return x * self.weights[f'{name}.weight'] + self.weights[f'{name}.bias']
