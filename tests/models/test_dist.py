"""DiST: a thin network on all frames and one that joins it with a trunk that keeps nothing."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmstadapter.models import DiSTViT
from mmstadapter.models.ops.time_conv import TimeMLP, TimeSpaceNet
from mmstadapter.models.trunks.block import read_by
from mmstadapter.models.trunks.clip_vit import CLIPBlock
from mmstadapter.testing import fill, tiny_trunk, toy_clips

from .beside_trunk import kept_layers, kept_tensors, recorded_layers


def build(**options) -> DiSTViT:
    trunk = tiny_trunk(**options.pop('trunk', {}))
    sizes = dict(num_frames=4, dims=16, temporal_dims=8, output_dims=24)
    return fill(DiSTViT(trunk, **sizes | options)).eval()


@pytest.mark.parametrize('portion', [None, 3])
def test_nothing_is_recorded_in_a_frozen_trunk(portion):
    assert recorded_layers(build(frames_per_pass=portion), toy_clips()) == []
    assert recorded_layers(build(trunk=dict(tune='all')), toy_clips()) == [-1, 0, 1, 2]


def test_backward_keeps_the_layers_that_are_read_and_no_more_however_deep_they_lie():
    assert kept_layers(build(blocks=[0, 2]), toy_clips(), stride=2) == {0, 2}
    sizes = [
        sum(t.numel() for t in kept_tensors(build(blocks=[i]), toy_clips())) for i in range(-1, 3)
    ]
    assert len(set(sizes)) == 1


def test_the_trunk_sees_every_second_frame_and_the_thin_network_all():
    model, frames = build(), []
    model.trunk.conv1.register_forward_pre_hook(lambda _, args: frames.append(args[0]))
    video = toy_clips(batch=1, num_frames=6)
    before = model(video)
    assert torch.equal(frames[0], video[0, :, ::2].transpose(0, 1))
    for frame in range(6):
        changed = video.clone()
        changed[:, :, frame] += 1
        assert not torch.allclose(model(changed), before, atol=1e-4)


def test_layers_after_the_last_read_are_not_computed_and_its_class_token_counts():
    model, fired = build(blocks=[0]), []
    for i, block in enumerate(model.trunk.blocks):
        block.attn.register_forward_hook(lambda *_, i=i: fired.append(i))
    with torch.no_grad():
        model(toy_clips())
        assert fired == [0]
        tokens = model.trunk.blocks[0](model.trunk.embed(toy_clips()[:, :, 0]))
        pooled = {}
        model.cls_proj.register_forward_pre_hook(lambda _, args: pooled.update(x=args[0]))
        model(toy_clips()[:, :, :1])
    torch.testing.assert_close(pooled['x'], tokens[:, 0])


def test_a_layer_is_the_equation():
    model = build(ratios=(2, 0.5, 0.5))
    layer = model.layers[0]
    u, r, tokens = torch.randn(2, 8, 4, 4, 4), torch.randn(4, 17, 16), torch.randn(4, 17, 32)
    v = layer.temporal(u)
    z = layer.down(tokens) + r
    d = layer.to_temporal(z[:, 1:]).view(2, 2, 4, 4, 8)
    conv = layer.from_temporal
    patches = sum(  # the taps of a strided convolution are the frames of a stride
        torch.einsum('mc,bcshw->bshwm', conv.weight[:, :, k, 0, 0], v[:, :, k::2]) for k in (0, 1)
    )
    z[:, 1:] += (patches + conv.bias).reshape(4, 16, 16)
    z[:, 0] += layer.cls_token.repeat(2, 1)
    r_next = layer.mlp(layer.ln_1(z)) + layer.time_mlp(layer.ln_2(z), 2)
    u_next = v + d[:, [0, 0, 1, 1]].permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(layer(u, r, tokens), (u_next, r_next, z))


def test_the_convolutions_keep_the_number_of_frames_and_see_the_ones_beside():
    net, mlp = fill(TimeSpaceNet(4, 6, 5)), fill(TimeMLP(8, 4, 3))
    u, z = torch.randn(1, 4, 7, 2, 3), torch.randn(7, 5, 8)
    assert net(u).shape == u.shape and mlp(z, 7).shape == z.shape
    changed = z.clone()
    changed[3] += 1
    moved = (mlp(changed, 7) - mlp(z, 7)).abs().amax(dim=(1, 2)) > 1e-6
    assert moved.tolist() == [False, False, True, True, True, False, False]
    changed = u.clone()
    changed[:, :, 0] += torch.randn(4, 2, 3)
    moved = (net(changed) - net(u)).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert moved.tolist() == [True] * 3 + [False] * 4


def test_a_query_reads_tokens_and_not_itself():
    block = fill(CLIPBlock(16, 2)).eval()
    q, x = torch.randn(3, 1, 16), torch.randn(3, 5, 16)
    attn = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    attn.load_state_dict({n: p for n, p in block.attn.state_dict().items()})
    keys = block.ln_1(x)
    expected = block.feed_forward(q + attn(block.ln_1(q), keys, keys)[0])
    torch.testing.assert_close(read_by(block, q, x), expected)


def test_every_parameter_is_trained_but_the_last_map_to_the_thin_network():
    model = build(num_poolings=1)
    model(toy_clips()).square().sum().backward()
    tuned = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    still = {n for n, grad in tuned.items() if not grad.any()}
    assert still == {'layers.2.to_temporal.weight', 'layers.2.to_temporal.bias'}


@pytest.mark.parametrize('t', [1, 3, 8])
def test_a_rectangle_and_any_length_run(t):
    model = build(trunk=dict(img_size=(24, 40)))
    video = torch.randn(2, 3, t, 24, 40)
    apart = torch.cat([model(clip[None]) for clip in video])
    torch.testing.assert_close(model(video), apart)


def test_a_length_that_the_stride_does_not_divide_repeats_the_last_frame():
    model, video = build(stride=3), toy_clips(num_frames=7)
    longer = torch.cat([video, video[:, :, -1:], video[:, :, -1:]], dim=2)
    torch.testing.assert_close(model(video), model(longer))


def test_recomputing_layers_changes_no_gradient_and_keeps_less():
    grads, kept = [], []
    for with_cp in (False, True):
        model = build(with_cp=with_cp).train()
        kept.append(sum(t.numel() for t in kept_tensors(model, toy_clips())))
        model(toy_clips()).square().sum().backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*grads)
    assert kept[1] < 0.6 * kept[0]


def test_it_is_built_on_tensors_without_values_as_planning_needs():
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = DiSTViT(tiny_trunk(), dims=64).train()
        model(torch.empty(2, 3, 8, 32, 32)).sum().backward()


def test_initial_values_are_the_released_ones():
    model = DiSTViT(tiny_trunk(), dims=64, temporal_dims=32)
    spread = {n: p.std().item() for n, p in model.named_parameters() if 'trunk.' not in n}
    usual = [
        s for n, s in spread.items() if n.endswith(('fc1.weight', 'conv.weight', '.cls_token'))
    ]
    assert all(0.015 < s < 0.025 for s in usual) and len(usual) == 9
    assert abs(spread['proj.weight'] - 64**-0.5) < 0.01
    assert abs(spread['poolings.0.time.attn.in_proj_weight'] - (2 / (4 * 64)) ** 0.5) < 0.01
    biases = [p for n, p in model.named_parameters() if n.endswith('bias') and 'trunk.' not in n]
    assert not any(bias.any() for bias in biases)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(kernel_size=4), 'DiSTViT: kernel_size must be odd'),
        (dict(stem_frames=2), 'DiSTViT: stem_frames must be odd'),
        (dict(stride=0), 'DiSTViT: num_frames and stride must be positive, got 4 and 0'),
        (dict(blocks=[-2]), 'DiSTViT: blocks must be'),
        (dict(blocks=[-1, 3]), 'DiSTViT: blocks must be'),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
