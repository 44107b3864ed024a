"""Every layer of a trunk is called, and the seams of its blocks are where they are said to be."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mmstadapter.models import CLIPText, CLIPViT, EVAViT, Side4VideoViT, STAdapterViT
from mmstadapter.models.ops.attention import join_heads, split_heads
from mmstadapter.models.ops.linear import QKV, Linear, is_plain
from mmstadapter.testing import TINY_ARCH, TINY_TEXT_ARCH, fill, tiny_trunk, toy_clips

LAYERS = (nn.Linear, nn.LayerNorm, nn.Conv2d)
TRUNKS = {'clip': CLIPViT, 'eva': EVAViT}


@pytest.fixture(params=TRUNKS)
def trunk(request):
    return fill(TRUNKS[request.param](dict(TINY_ARCH))).eval()


@pytest.fixture
def block(trunk):
    return trunk.blocks[0]


@pytest.fixture
def x(trunk):
    return torch.randn(3, 5, trunk.embed_dims)


def norms(block):
    """Before the branches and after them: the block's two norms and two that change nothing."""
    same = nn.Identity()
    if hasattr(block, 'ln_1'):
        return block.ln_1, block.ln_2, same, same
    return same, same, block.norm1, block.norm2


class Rolled(nn.Module):
    """A layer that knows nothing of ours, in place of one."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x).roll(1, -1)


@pytest.mark.parametrize('name', TRUNKS)
def test_a_hook_fires_on_every_layer(name):
    model = fill(STAdapterViT(dict(type=TRUNKS[name], arch=dict(TINY_ARCH)), bottleneck_dims=8))
    layers = {n: m for n, m in model.trunk.named_modules() if isinstance(m, LAYERS)}
    fired = set()
    for n, layer in layers.items():
        layer.register_forward_hook(lambda *_, n=n: fired.add(n))
    model(toy_clips())
    assert fired == layers.keys()
    assert len(fired) == 2 + (name == 'clip') + 6 * len(model.trunk.blocks)


def test_a_layer_in_place_of_any_other_changes_the_block(block, x):
    for queries in (None, 1):
        before = block.feed_forward(block.attend(x, queries))
        for name in [n for n, m in block.named_modules() if isinstance(m, LAYERS)]:
            where, _, child = name.rpartition('.')
            owner, layer = block.get_submodule(where), block.get_submodule(name)
            setattr(owner, child, Rolled(layer))
            assert not torch.allclose(block.feed_forward(block.attend(x, queries)), before), name
            setattr(owner, child, layer)
        assert torch.equal(block.feed_forward(block.attend(x, queries)), before)


def test_one_query_is_the_first_of_all_whatever_the_layer(block, x):
    attn, name = block.attn, 'in_proj' if hasattr(block.attn, 'in_proj') else 'qkv'
    torch.testing.assert_close(attn(x, num_queries=1), attn(x)[:, :1])
    setattr(attn, name, Rolled(getattr(attn, name)))
    torch.testing.assert_close(attn(x, num_queries=1), attn(x)[:, :1])


def test_attend(block, x):
    before, _, after, _ = norms(block)
    pre, post = (nn.Linear(x.shape[-1], x.shape[-1]) for _ in range(2))
    expected = x + post(after(block.attn(pre(before(x)))))
    torch.testing.assert_close(block.attend(x, pre=pre, post=post), expected)
    torch.testing.assert_close(block.attend(x, 2, pre=pre, post=post), expected[:, :2])


def test_feed_forward(block, x):
    _, before, _, after = norms(block)
    pre, post, beside = (nn.Linear(x.shape[-1], x.shape[-1]) for _ in range(3))
    expected = x + post(after(block.mlp(pre(before(x))))) + beside(before(x))
    given = block.feed_forward(x, pre=pre, post=post, beside=beside)
    torch.testing.assert_close(given, expected)


def test_mix_and_bias(block, x):
    """softmax(q k^T / sqrt(d) + bias) v, with k and v as `mix` leaves them."""
    before, _, after, _ = norms(block)
    seen, heads = [], block.attn.num_heads

    def mix(q, k, v):
        seen.extend((q, k.flip(1), torch.cat([v[:, :1], 2 * v[:, 1:]], dim=1)))
        return seen

    bias = torch.randn(3, heads, 1, 5)
    given = block.attend(x, num_queries=2, mix=mix, bias=bias)
    q, k, v = (split_heads(t, heads) for t in seen)
    assert q.shape[2] == 2 and k.shape[2] == 5
    y = join_heads((q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v)
    torch.testing.assert_close(given, x[:, :2] + after(block.attn.layer_out(y)))
    queries, _, _ = block.attn.project(before(x))
    torch.testing.assert_close(seen[0], join_heads(queries)[:, :2])


def test_the_fused_layer_is_the_owners_parameters_under_openais_names():
    attn = fill(CLIPViT(dict(TINY_ARCH))).blocks[0].attn
    assert attn.in_proj.weight is attn.in_proj_weight and attn.in_proj.bias is attn.in_proj_bias
    assert [n for n in attn.state_dict() if 'in_proj' in n] == ['in_proj_weight', 'in_proj_bias']
    attn.in_proj.weight = nn.Parameter(torch.zeros_like(attn.in_proj_weight))
    assert not attn.in_proj_weight.any()
    assert [n for n, _ in attn.named_parameters() if 'in_proj' in n] == [
        'in_proj_weight',
        'in_proj_bias',
    ]


def test_a_second_name_of_the_fused_weight_is_in_no_state_dict():
    attn = fill(CLIPViT(dict(TINY_ARCH))).blocks[0].attn
    kept = {name: tensor.clone() for name, tensor in attn.state_dict().items()}
    layer = nn.Linear(32, 96)
    layer.weight, layer.bias = attn.in_proj_weight, attn.in_proj_bias  # as Float8Linear does
    attn.in_proj = layer
    assert list(attn.state_dict(prefix='a.')) == [f'a.{name}' for name in kept]
    nn.init.zeros_(layer.weight)
    attn.load_state_dict(kept)
    assert torch.equal(layer.weight, kept['in_proj_weight'])


def retrieval():
    """A model with a matrix of each kind that stands beside the layers, and what it gives."""
    trunk = tiny_trunk(with_proj=True)
    video = Side4VideoViT(trunk, side_dims=16, head_dims=16, output='frames')
    return fill(nn.ModuleDict(dict(video=video, text=CLIPText(dict(TINY_TEXT_ARCH))))).eval()


def joint(model):
    words = model['text'](torch.tensor([[1, 4, 7, 2]]))[1]
    return torch.cat([model['video'](toy_clips()).flatten(), words.flatten()])


@pytest.mark.parametrize(
    'key, name',
    [
        ('video.trunk.proj', 'video.trunk.to_joint'),
        ('video.side.up', 'video.side.to_trunk'),
        ('text.text_projection', 'text.to_joint'),
    ],
)
def test_a_matrix_beside_the_layers_is_a_layer_that_is_called(key, name):
    model = retrieval()
    before, names = joint(model), list(model.state_dict())
    assert key in names and not [n for n in names if n.startswith(name)]
    layer = model.get_submodule(name)
    hook = layer.register_forward_hook(lambda module, args, y: y + (args[0] @ module.matrix))
    assert not torch.allclose(joint(model), before)
    hook.remove()
    copied = deepcopy(model)
    nn.init.zeros_(copied.state_dict()[key])
    assert torch.equal(joint(model), before) and not torch.allclose(joint(copied), before)
    owner, child = name.rsplit('.', 1)
    setattr(model.get_submodule(owner), child, Rolled(layer))
    assert not torch.allclose(joint(model), before)


@pytest.mark.parametrize(
    'change',
    [
        lambda layer: layer.register_forward_hook(lambda *_: None),
        lambda layer: layer.register_forward_pre_hook(lambda *_: None),
        lambda layer: layer.register_full_backward_hook(lambda *_: None),
        lambda layer: setattr(layer, 'forward', layer.forward),
        lambda layer: nn.utils.parametrize.register_parametrization(layer, 'weight', nn.Tanh()),
        lambda layer: setattr(layer, 'weight', OtherParameter(layer.weight.detach())),
        lambda layer: setattr(layer, '__class__', type('Sharded', (Linear,), {})),
    ],
    ids=['forward', 'pre', 'backward', 'method', 'parametrisation', 'tensor', 'class'],
)
def test_a_lean_form_looks_through_a_layer_that_nobody_has_touched(change):
    layer = Linear(4, 4)
    assert is_plain(layer, Linear, QKV) and not is_plain(layer, QKV)
    change(layer)
    assert not is_plain(layer, Linear, QKV)


def test_a_lean_form_looks_through_no_layer_while_all_are_hooked():
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not is_plain(Linear(4, 4), Linear)
    finally:
        hook.remove()
    assert is_plain(Linear(4, 4), Linear)


class OtherParameter(nn.Parameter):
    """A tensor of another kind, as quantised and sharded weights are."""
