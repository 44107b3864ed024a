"""EVL: a decoder reads the last layers of a trunk that keeps nothing for it."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmstadapter.models import EVLViT
from mmstadapter.models.ops.neighbours import OffsetTables, gazes
from mmstadapter.testing import fill, tiny_trunk, toy_clips

from .beside_trunk import kept_layers, kept_tensors, recorded_layers


def build(**options) -> EVLViT:
    trunk = tiny_trunk(**options.pop('trunk', {}))
    return fill(EVLViT(trunk, **dict(blocks='last_2', num_frames=4) | options)).eval()


@pytest.mark.parametrize('portion', [None, 3])
def test_nothing_is_recorded_in_a_frozen_trunk(portion):
    assert recorded_layers(build(frames_per_pass=portion), toy_clips()) == []
    assert recorded_layers(build(trunk=dict(tune='all')), toy_clips()) == [-1, 0, 1, 2]


def test_backward_keeps_the_layers_that_are_read_and_no_more_however_deep_they_lie():
    assert kept_layers(build(), toy_clips()) == {1, 2}
    sizes = [sum(t.numel() for t in kept_tensors(build(blocks=[i]), toy_clips())) for i in range(3)]
    assert len(set(sizes)) == 1


def test_layers_after_the_last_read_are_not_computed():
    model, fired = build(blocks=[0]), []
    for i, block in enumerate(model.trunk.blocks):
        block.attn.register_forward_hook(lambda *_, i=i: fired.append(i))
    model(toy_clips())
    assert fired == [0]


@pytest.mark.parametrize('portion', [1, 3, None])
def test_frames_may_pass_in_any_portions(portion):
    torch.testing.assert_close(
        build(frames_per_pass=portion)(toy_clips()), build(frames_per_pass=64)(toy_clips())
    )


def test_a_decoder_layer_is_the_equation():
    model = build()
    layer, (b, t, n, d) = model.layers[0], (2, 4, 17, 32)
    z, s, q, k = (torch.randn(size) for size in ((b, t, n, d), (b, 1, d), *[(b * t, 16, d)] * 2))
    taps, y = layer.conv.weight.view(d, 3), z.clone()
    for u in range(t):
        for tap in range(3):
            if 0 <= u + tap - 1 < t:
                y[:, u] += taps[:, tap] * z[:, u + tap - 1]
    y += layer.conv.bias + layer.time_embed[:, None]
    y[:, :, 1:] += layer.tables(*gazes(q, k, t, 2))
    keys = layer.ln_3(y.flatten(1, 2))
    attn = nn.MultiheadAttention(d, 1, batch_first=True)
    parts = [getattr(layer.attn, f'{name}_proj') for name in 'qkv']
    attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
    attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
    attn.out_proj = layer.attn.out_proj
    s_ = s + attn(layer.ln_1(s), keys, keys)[0]
    u = layer.fc1(layer.ln_2(s_))
    s_ = s_ + layer.fc2(u * torch.sigmoid(1.702 * u))
    torch.testing.assert_close(layer(s, z, *gazes(q, k, t, 2)), s_)


def test_a_patch_is_told_where_it_looks_in_the_frames_beside():
    grid, t = (2, 3), 3
    tables = fill(OffsetTables(8, grid))
    q, k = (torch.randn(t, 6, 8) for _ in range(2))
    expected = torch.zeros(t, 6, 8)
    for u, step, table in (
        (u, s, w)
        for u in range(t)
        for s, w in ((-1, tables.before), (1, tables.after))
        if 0 <= u + s < t
    ):
        heads = [
            (q[u, :, h] @ k[u + step, :, h].T / 2).softmax(-1) for h in (slice(0, 4), slice(4, 8))
        ]
        a = sum(heads) / 2
        for i in range(6):
            for j in range(6):
                row = (i // 3 - j // 3 + 1) * 5 + i % 3 - j % 3 + 2
                expected[u, i] += a[i, j] * table[row]
    torch.testing.assert_close(tables(*gazes(q, k, t, 2))[0], expected)


@pytest.mark.parametrize('temporal', [[], ['conv'], ['position'], ['cross_attention']])
def test_every_choice_trains_every_parameter(temporal):
    model = build(temporal=temporal)
    model(toy_clips()).square().sum().backward()
    tuned = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    still = {n for n, g in tuned.items() if not g.any()}
    assert not still
    assert len(tuned) == 3 + 2 * (18 + 2 * len(temporal) - ('position' in temporal))


def test_without_time_marks_the_order_of_frames_does_not_matter():
    model, video = build(temporal=[]), toy_clips(batch=1)
    torch.testing.assert_close(model(video), model(video.flip(2)))
    for word in ('conv', 'position', 'cross_attention'):
        other = build(temporal=[word])
        assert not torch.allclose(other(video), other(video.flip(2)), atol=1e-4), word


@pytest.mark.parametrize('t', [1, 2, 5])
def test_a_rectangle_and_any_length_run(t):
    model = build(trunk=dict(img_size=(24, 40)))
    video = torch.randn(2, 3, t, 24, 40)
    apart = torch.cat([model(clip[None]) for clip in video])
    torch.testing.assert_close(model(video), apart)


def test_the_trunk_can_be_trained_along_with_several_decoder_layers():
    model = build(trunk=dict(tune='all'), blocks='all')
    model(toy_clips()).square().sum().backward()
    read = [p for n, p in model.trunk.named_parameters() if not n.startswith('ln_post')]
    assert all(p.grad is not None and p.grad.any() for p in read)


def test_recomputing_layers_changes_no_gradient_and_keeps_less():
    grads, kept = [], []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, dropout=0.5).train()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x
        ):
            torch.manual_seed(1)
            loss = model(toy_clips()).square().sum()
        loss.backward()
        kept.append(sum(sizes))
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*grads)
    assert kept[1] < kept[0] / 2


def test_it_is_built_on_tensors_without_values_as_planning_needs():
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = EVLViT(tiny_trunk(), blocks='last_2').train()
        model(torch.empty(2, 3, 8, 32, 32)).sum().backward()


def test_initial_values_are_the_released_ones():
    model = EVLViT(tiny_trunk(), blocks='last_2')
    zero = [p for n, p in model.layers.named_parameters() if 'tables' in n or 'time_embed' in n]
    assert not any(p.any() for p in (model.query, *zero)) and len(zero) == 6
    layer = model.layers[0]
    assert layer.conv.weight.any() and layer.conv.bias.any()
    assert not layer.attn.k_proj.bias.any() and 0 < layer.fc1.bias.abs().max() < 1e-5


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(temporal=['conv', 'time']), 'temporal must be a list .* cross_attention, got'),
        (dict(temporal='conv'), 'EVLViT: temporal must be a list'),
        (dict(blocks='last_4'), 'EVLViT: blocks must be'),
        (dict(attn_dims=30, num_heads=4), 'attn_dims must be a multiple of num_heads, got 30'),
        (dict(frames_per_pass=0), 'EVLViT: frames_per_pass must be a positive'),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
