"""The class token's attention, as it is drawn."""

from importlib.util import find_spec

import pytest
import torch
from einops import rearrange
from mmaction.registry import MODELS
from torch.nn import functional as F

from mmstadapter.models.class_attention import (
    class_attention,
    image_class_attention,
    patch_maps,
)
from mmstadapter.testing import fill, tiny_trunk, toy_clips

SIZES = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
TIMM = dict(embed_dim=32, depth=3, num_heads=2, patch_size=8, img_size=32)


def mmpretrain(**options):
    vit = dict(arch=dict(SIZES), img_size=32, patch_size=8) | options
    return dict(type='mmstadapter.MMPretrainViT', vit=vit)


def timm(model, **options):
    return dict(type='mmstadapter.TimmViT', model=model, options=TIMM | options)


def row(name, config):
    absent = name != 'clip' and find_spec(name) is None
    return pytest.param(config, marks=pytest.mark.skipif(absent, reason=f'{name} is not installed'))


WRAPPED = [
    row('mmpretrain', mmpretrain()),
    row('timm', timm('vit_base_patch16_224', qk_norm=True)),
    row('timm', timm('vit_small_patch14_reg4_dinov2')),
]
EVERY = [row('clip', tiny_trunk()), *WRAPPED]


def trunk_of(config):
    return fill(MODELS.build(config)).eval()


def backbone(positions=('before_attn', 'after_attn'), **changes):
    config = dict(type='mmstadapter.STAdapterViT', trunk=tiny_trunk(), bottleneck_dims=8)
    return MODELS.build(config | dict(positions=positions) | changes).eval()


@pytest.mark.parametrize('config', EVERY)
def test_a_row_sums_to_one(config):
    trunk = trunk_of(config)
    weights = image_class_attention(trunk, toy_clips())
    tokens = trunk.num_prefix_tokens + 16
    assert weights.shape == (2, 4, 2, tokens)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 2))


def test_clip_has_what_fused_attention_makes_of_identity_values():
    block = trunk_of(tiny_trunk()).blocks[-1]
    x = torch.randn(3, 17, 32, generator=torch.Generator().manual_seed(1))
    qkv = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    q, k, _ = rearrange(qkv, 'm l (three h d) -> three m h l d', three=3, h=2)
    values = torch.eye(17).expand(3, 2, 17, 17)
    expected = F.scaled_dot_product_attention(q, k, values)[:, :, 0]
    torch.testing.assert_close(block.class_attention(x), expected)


@pytest.mark.parametrize('config', WRAPPED)
def test_values_so_weighed_are_what_the_library_computes(config):
    block = trunk_of(config).blocks[-1]
    attn = block.block.attn
    x = torch.randn(3, 17, 32, generator=torch.Generator().manual_seed(1))
    qkv = attn.qkv(block.attention_input(x))
    v = rearrange(qkv, 'm l (three h d) -> three m h l d', three=3, h=2)[2]
    mixed = torch.einsum('mhl,mhld->mhd', block.class_attention(x), v)
    expected = attn(block.attention_input(x))[:, 0]
    torch.testing.assert_close(attn.proj(mixed.flatten(1)), expected)


@pytest.mark.parametrize(
    'positions', [('before_attn',), ('after_attn',), ('before_attn', 'after_mlp')], ids=str
)
def test_at_the_identity_start_before_and_after_are_the_same(positions):
    model = backbone(positions)
    fill(model.trunk)
    before = image_class_attention(model.trunk, toy_clips())
    assert torch.equal(class_attention(model, toy_clips()), before)


@pytest.mark.parametrize(
    'positions', [('before_attn',), ('after_attn',), ('before_attn', 'after_mlp')], ids=str
)
def test_it_is_of_what_the_adapted_last_block_is_given(positions):
    model = fill(backbone(positions))
    x = model.trunk.embed(rearrange(toy_clips(), 'b c t h w -> (b t) c h w'))
    for i in range(2):
        x = model.run_block(x, i, 4)
    x = model.adapt(x, 'before_attn', 2, 4)
    expected = model.trunk.blocks[2].class_attention(x).unflatten(0, (2, 4))
    torch.testing.assert_close(class_attention(model, toy_clips()), expected)
    assert not torch.allclose(expected, image_class_attention(model.trunk, toy_clips()))


def test_a_trunk_of_one_block_is_looked_into():
    arch = tiny_trunk()['arch'] | dict(num_layers=1)
    model = fill(backbone(('after_attn',), trunk=tiny_trunk(arch=arch)))
    expected = image_class_attention(model.trunk, toy_clips())
    assert torch.equal(class_attention(model, toy_clips()), expected)


def test_maps_are_multiples_of_an_even_share():
    trunk = MODELS.build(tiny_trunk())
    even = torch.full((2, 4, 2, 17), 1 / 17)
    torch.testing.assert_close(patch_maps(even, trunk), torch.ones(2, 4, 4, 4))


def test_a_map_lies_as_the_patches_do():
    trunk = MODELS.build(tiny_trunk(img_size=(16, 32)))
    weights = torch.arange(9.0).expand(2, 9).clone()
    weights[1] += 1
    rows = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]) * 9
    torch.testing.assert_close(patch_maps(weights, trunk, head=0), rows)
    torch.testing.assert_close(patch_maps(weights, trunk), rows + 4.5)


def test_a_head_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match='head must be from 0 to 1, got 2'):
        patch_maps(torch.rand(2, 17), MODELS.build(tiny_trunk()), head=2)


def test_frames_averaged_are_looked_at_as_the_image_model_does():
    model = fill(MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk())))
    expected = image_class_attention(model.trunk, toy_clips())
    assert torch.equal(class_attention(model, toy_clips()), expected)


def test_a_backbone_that_cannot_say_is_refused_by_name():
    model = MODELS.build(dict(type='mmstadapter.PromptViT', trunk=tiny_trunk()))
    with pytest.raises(TypeError, match='PromptViT offers no `trace`.*STAdapterViT'):
        class_attention(model, toy_clips())


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (timm('vit_base_patch16_siglip_224'), 'no class token'),
        (timm('eva02_tiny_patch14_224'), 'has EvaAttention'),
    ],
)
@pytest.mark.skipif(find_spec('timm') is None, reason='timm is not installed')
def test_a_trunk_that_cannot_say_is_refused_with_the_reason(config, message):
    with pytest.raises(TypeError, match=message):
        image_class_attention(MODELS.build(config), toy_clips())


@pytest.mark.parametrize(
    'fields',
    [{}, dict(cls_shift=False), dict(representation='side_cls'), dict(representation='trunk_cls')],
)
def test_of_a_side_network_it_is_what_its_last_block_computes_with(fields):
    config = dict(type='mmstadapter.Side4VideoViT', trunk=tiny_trunk(), side_dims=16, head_dims=8)
    model = fill(MODELS.build(config | fields)).eval()
    weights = class_attention(model, toy_clips())
    assert weights.shape == (2, 4, 2, 17)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 2))
    block, seen = model.side.blocks[-1], []
    block.attn.register_forward_hook(lambda m, x, out: seen.append((x[0], out)))
    with torch.no_grad():
        model(toy_clips())
    keys, out = seen[0]
    q, k, v = block.attn.project(keys)
    queries = 17 if 'representation' in fields else 16
    table = (q[:, :, -queries:] @ k.transpose(2, 3) / 8**0.5).softmax(dim=-1)
    own = block.attn.out_proj(rearrange(table @ v, 'm h l d -> m l (h d)'))
    torch.testing.assert_close(own, out)
    read = table[:, :, :1] if 'representation' in fields else table
    expected = read.mean(dim=2)[..., -16:]
    torch.testing.assert_close(weights[..., 1:], expected.unflatten(0, (2, 4)))
