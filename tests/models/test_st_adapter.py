"""ST-Adapter: the paper's promises, the released counts, what is not computed."""

import pytest
import torch
from mmaction.registry import MODELS
from torch import nn

from mmstadapter.models import FrameMeanViT, STAdapter, STAdapterViT, VideoHead
from mmstadapter.testing import fill, tiny_trunk, toy_clips


def build(**options) -> STAdapterViT:
    return STAdapterViT(trunk=tiny_trunk(), bottleneck_dims=8, **options)


def test_starts_as_the_image_model():
    torch.manual_seed(0)
    backbone = build(positions=('before_attn', 'after_attn', 'after_mlp')).eval()
    frame_mean = FrameMeanViT(trunk=tiny_trunk()).eval()
    frame_mean.trunk.load_state_dict(backbone.trunk.state_dict())
    assert torch.equal(backbone(toy_clips()), frame_mean(toy_clips()))


def test_at_the_start_only_the_convolution_and_the_last_bias_learn():
    adapter = STAdapter(16, 8)
    adapter(torch.randn(4, 5, 16), 2, (2, 2)).square().sum().backward()
    moving = {n for n, p in adapter.named_parameters() if p.grad.abs().max() > 0}
    assert moving == {'conv.weight', 'conv.bias', 'fc2.bias'}


def test_the_class_token_passes_through_unchanged():
    adapter = fill(STAdapter(16, 8))
    x = torch.randn(4, 5, 16)
    out = adapter(x, 2, (2, 2))
    assert torch.equal(out[:, 0], x[:, 0])
    assert not torch.equal(out[:, 1:], x[:, 1:])


def test_the_input_is_not_written_to():
    adapter, x = fill(STAdapter(16, 8)), torch.randn(4, 5, 16)
    before = x.clone()
    adapter(x, 2, (2, 2))
    assert torch.equal(x, before)


def test_the_first_map_keeps_the_input_and_no_copy_without_its_class_token():
    adapter, x, kept = STAdapter(32, 8), torch.randn(8, 17, 32), set()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.add((t.data_ptr(), t.numel())) or t, lambda t: t
    ):
        adapter(x, 4, (4, 4))
    assert (x.data_ptr(), x.numel()) in kept
    assert all(size < 8 * 16 * 32 or at == x.data_ptr() for at, size in kept)


def test_a_frame_reaches_its_neighbours_and_no_further():
    adapter = fill(STAdapter(16, 8, (3, 1, 1)))
    x = torch.randn(6, 5, 16)
    changed = x.clone()
    changed[2] += 1
    difference = (adapter(x, 6, (2, 2)) - adapter(changed, 6, (2, 2))).abs().amax(dim=(1, 2))
    assert [bool(d > 0) for d in difference] == [False, True, True, True, False, False]


@pytest.mark.parametrize('activation', ['relu', 'gelu', 'quick_gelu'])
def test_an_activation_changes_the_branch(activation):
    plain, active = fill(STAdapter(16, 8)), fill(STAdapter(16, 8, activation=activation))
    x = torch.randn(4, 5, 16)
    assert not torch.allclose(plain(x, 2, (2, 2)), active(x, 2, (2, 2)))


# Released code, models_adapter.py factories: trained parameters with the classifier.
@pytest.mark.parametrize(
    'positions, num_classes, tuned',
    [(('after_attn',), 400, 7_417_744), (('before_attn', 'after_attn'), 174, 14_354_094)],
)
def test_tuned_parameters_are_the_released_counts(positions, num_classes, tuned):
    with torch.device('meta'):
        backbone = STAdapterViT(trunk=dict(type='mmstadapter.CLIPViT'), positions=positions)
        model = nn.ModuleList([backbone, VideoHead(768, num_classes)])
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == tuned


@pytest.mark.parametrize('num_frames', [1, 2, 3, 8])
def test_any_frame_count_runs(num_frames):
    assert fill(build())(toy_clips(num_frames=num_frames)).shape == (2, 32)


def test_rectangular_frames_run_with_a_spatial_kernel():
    trunk = tiny_trunk(img_size=(32, 48))
    backbone = fill(STAdapterViT(trunk=trunk, bottleneck_dims=8, kernel_size=(3, 3, 3)))
    assert backbone(torch.randn(2, 3, 4, 32, 48)).shape == (2, 32)


@pytest.mark.parametrize(
    'blocks, chosen',
    [('all', [0, 1, 2]), ('first_1', [0]), ('last_2', [1, 2]), ([2, 0], [0, 2])],
)
def test_blocks_choose_where_adapters_sit(blocks, chosen):
    assert [int(i) for i in build(blocks=blocks).after_attn] == chosen


@pytest.mark.parametrize('blocks', ['first_4', 'last_0', 'some', [], [3], 'last_'])
def test_impossible_blocks_are_refused(blocks):
    with pytest.raises(ValueError, match='blocks must be'):
        build(blocks=blocks)


@pytest.mark.parametrize('positions', [(), ('before_mlp',), 'attn'])
def test_impossible_positions_are_refused(positions):
    with pytest.raises(ValueError, match='positions must be'):
        build(positions=positions)


@pytest.mark.parametrize('kernel_size', [(2, 1, 1), (3, 3), (3, 1, 0), 3 * (4,)])
def test_even_kernels_are_refused(kernel_size):
    with pytest.raises(ValueError, match='three odd numbers'):
        STAdapter(16, 8, kernel_size)


def test_nothing_is_recorded_below_the_first_adapter():
    backbone = fill(build(blocks='last_1', positions=('before_attn',)))
    steps = dict(backbone.trace(toy_clips()))
    assert not steps['embed'].requires_grad
    assert not steps['1'].requires_grad
    assert steps['2.before_attn'].requires_grad


def test_the_class_token_alone_equals_the_whole_last_block():
    backbone = fill(build(positions=('before_attn', 'after_attn', 'after_mlp')))
    steps = dict(backbone.trace(toy_clips()))
    torch.testing.assert_close(backbone(toy_clips()), steps['feature'])


@pytest.mark.parametrize('with_cp', [False, True])
def test_forward_and_trace_run_the_same_steps(with_cp):
    backbone = fill(build(blocks=[1], with_cp=with_cp))
    steps = dict(backbone.trace(toy_clips()))
    assert list(steps) == ['embed', '0', '1.after_attn', '1', '2', 'pooled', 'feature']
    seen = []
    feature = backbone(toy_clips(), lambda step, x: seen.append(step))
    assert torch.equal(feature, steps['feature'])
    assert seen == list(steps)[:-2]


EVERYWHERE = ('before_attn', 'after_attn', 'after_mlp')


def test_the_last_blocks_idle_adapters_are_not_computed_and_get_zero_gradients(monkeypatch):
    backbone = fill(build(positions=EVERYWHERE))
    names, calls = {id(m): n for n, m in backbone.named_modules()}, []
    plain = STAdapter.forward
    counted = lambda self, *given: calls.append(names[id(self)]) or plain(self, *given)  # noqa: E731
    monkeypatch.setattr(STAdapter, 'forward', counted)
    backbone(toy_clips()).sum().backward()
    assert 'before_attn.2' in calls and 'after_attn.2' not in calls and len(calls) == 7
    for position in ('after_attn', 'after_mlp'):
        for parameter in getattr(backbone, position)['2'].parameters():
            assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_a_hook_on_an_idle_adapter_fires():
    backbone, fired = fill(build(positions=EVERYWHERE)), []
    before = backbone(toy_clips())
    for position in EVERYWHERE:
        layer = getattr(backbone, position)['2'].conv
        layer.register_forward_hook(lambda *_, position=position: fired.append(position))
    torch.testing.assert_close(backbone(toy_clips()), before)
    assert fired == list(EVERYWHERE)


def test_what_takes_the_place_of_the_convolution_is_called():
    adapter = fill(STAdapter(16, 8)).eval()
    x, plain = torch.randn(6, 10, 16), nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0), groups=8)
    plain.load_state_dict(adapter.conv.state_dict())
    before = adapter(x, 3, (3, 3))
    adapter.conv = plain
    torch.testing.assert_close(adapter(x, 3, (3, 3)), before)
    adapter.conv = nn.Sequential(plain, nn.Tanh())
    assert not torch.allclose(adapter(x, 3, (3, 3)), before)


@pytest.mark.parametrize('kernel_size', [(3, 1, 1), (3, 3, 3)])
def test_recomputing_blocks_changes_no_gradient(kernel_size):
    plain = fill(build(kernel_size=kernel_size))
    frugal = fill(build(kernel_size=kernel_size, with_cp=True))
    for backbone in (plain, frugal):
        backbone(toy_clips()).square().sum().backward()
    pairs = zip(plain.named_parameters(), frugal.named_parameters(), strict=True)
    grads = [(p.grad, q.grad) for (_, p), (_, q) in pairs if p.requires_grad]
    assert len(grads) == 18
    assert all(torch.equal(p, q) for p, q in grads)


def test_a_model_learns_the_order_of_frames_that_a_frame_mean_cannot():
    video = toy_clips(batch=1)
    backward = video.flip(2)
    frame_mean = fill(FrameMeanViT(trunk=tiny_trunk())).eval()
    adapted = fill(build()).eval()
    torch.testing.assert_close(frame_mean(video), frame_mean(backward))
    assert not torch.allclose(adapted(video), adapted(backward), atol=1e-3)


def test_the_head_scores_views_and_averages_softmax():
    head = VideoHead(4, 3, average_clips='prob').eval()
    scores = torch.randn(6, 3)
    averaged = head.average_clip(scores, num_segs=3)
    expected = scores.view(2, 3, 3).softmax(dim=2).mean(dim=1)
    torch.testing.assert_close(averaged, expected)


def test_the_head_refuses_labels_outside_the_classes():
    from mmstadapter.testing import toy_samples

    head = MODELS.build(dict(type='mmstadapter.VideoHead', in_channels=4, num_classes=3))
    with pytest.raises(ValueError, match=r'labels must lie in 0..2, got \[3\]'):
        head.loss(torch.randn(4, 4), toy_samples(4, num_classes=4))


def test_the_head_takes_bfloat16_features():
    from mmstadapter.testing import toy_samples

    head = VideoHead(4, 3)
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(torch.randn(2, 4).bfloat16(), toy_samples(2, 3))
    assert losses['loss_cls'].dtype == torch.float32
