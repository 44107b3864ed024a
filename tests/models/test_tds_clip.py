"""TDS-CLIP: a stem of differences, a gate of motion, and a trunk that sees the sampled frames."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmstadapter.models import TDSCLIPViT
from mmstadapter.models.backbones.tds_clip import DifferenceStem, MotionGate
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk, toy_clips

from .beside_trunk import kept_layers, recorded_layers


def build(**options) -> TDSCLIPViT:
    trunk = tiny_trunk(**options.pop('trunk', {}))
    return fill(TDSCLIPViT(trunk, **dict(side_dims=32, head_dims=16) | options)).eval()


def groups(num_frames: int = 4, num_diff: int = 5, **options) -> Tensor:
    return toy_clips(num_frames=num_frames * num_diff, **options)


@pytest.mark.parametrize('portion', [None, 3])
def test_nothing_is_recorded_in_a_frozen_trunk(portion):
    assert recorded_layers(build(frames_per_pass=portion), groups()) == []
    assert recorded_layers(build(trunk=dict(tune='all')), groups()) == [-1, 0, 1, 2]


def test_the_trunk_sees_the_middle_frame_of_each_group_alone():
    seen = []
    model = build()
    model.trunk.conv1.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    video = groups(batch=1)
    model(video)
    assert torch.equal(seen[0], video[0, :, 2::5].transpose(0, 1))


def test_backward_keeps_the_layers_that_are_read_and_no_more():
    video = groups()
    middles = video[:, :, 2::5]
    model = build(layers='top_2')

    class Behind(torch.nn.Module):  # what the helper gives its frames to
        def __init__(self) -> None:
            super().__init__()
            self.model, self.trunk = model, model.trunk

        def forward(self, _) -> Tensor:
            return self.model(video)

    assert kept_layers(Behind(), middles) == {1, 2}


@pytest.mark.parametrize('size', [(32, 32), (24, 40), (29, 38)])
def test_the_stem_is_two_convolutions_padded_in_space_as_well(size):
    """Also for rectangles, and for borders that no patch covers."""
    stem = fill(DifferenceStem(8, 16, 5)).eval().double()
    video = torch.randn(2, 3, 15, *size, dtype=torch.float64)
    f, (h, w) = video.unflatten(2, (3, 5)), (size[0] // 8, size[1] // 8)
    changes = torch.cat([f[:, :, :, k + 1] - f[:, :, :, k] for k in range(4)], dim=1)
    s, d = (
        F.conv3d(x, conv.weight, conv.bias, (1, 8, 8), padding=1)[..., :h, :w]
        .permute(0, 2, 3, 4, 1)
        .reshape(6, h * w, 16)
        for x, conv in ((f[:, :, :, 2], stem.conv), (changes, stem.diff_conv))
    )
    torch.testing.assert_close(stem(video), stem.norm(s) + 0.5 * stem.diff_norm(d))


@pytest.mark.parametrize('num_frames', [1, 2, 5])
def test_the_gate_is_the_equation(num_frames):
    gate = fill(MotionGate(32)).train()
    u = torch.randn(2 * num_frames, 6, 32)
    rows = gate.bn_1(gate.down(u)).view(2, num_frames, 6, 2)
    peak = F.max_pool3d(rows.permute(0, 3, 1, 2)[..., None], (3, 1, 1), 1, (1, 0, 0))[..., 0]
    m = rows - peak.permute(0, 2, 3, 1)
    m = 0.5 * m + 0.5 * m.mean(-1, keepdim=True)
    factor = 0.5 + torch.sigmoid(gate.bn_2(gate.up(m.flatten(0, 1))))
    torch.testing.assert_close(gate(u, num_frames), u * factor)


def test_a_gate_lets_half_to_one_and_a_half_through():
    u = torch.randn(8, 16, 64)
    factor = MotionGate(64)(u, 4) / u
    assert 0.5 < factor.min() < 0.9 and 1.1 < factor.max() < 1.5
    torch.testing.assert_close(factor.mean(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_a_video_that_stands_still_has_no_differences():
    stem = fill(DifferenceStem(8, 16, 5)).eval()
    still = toy_clips(num_frames=4).repeat_interleave(5, dim=2)
    expected = stem.diff_norm(stem.diff_conv.bias.expand(1, 16, 16))
    torch.testing.assert_close(stem.differences(still), expected.expand(8, -1, -1))


@pytest.mark.parametrize('num_diff', [3, 7])
def test_groups_may_be_of_any_odd_size(num_diff):
    model = build(num_diff=num_diff)
    video = groups(num_diff=num_diff).requires_grad_()
    model(video).sum().backward()
    moved = video.grad.abs().sum((0, 1, 3, 4))
    assert (moved > 0).all()  # no frame is ignored, as the released code ignores the last two of 7


def test_frames_that_are_no_whole_groups_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match='whole groups of num_diff = 5 .*got 8 frames.*AddNeigh'):
        build()(toy_clips(num_frames=8))
    with pytest.raises(ValueError, match=r'TDSCLIPViT: clips must be \(B, 3, T, H, W\)'):
        build()(toy_clips()[:, :, 0])


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(num_diff=4), 'num_diff must be odd, at least 3'),
        (dict(num_diff=1), 'num_diff must be odd, at least 3'),
        (dict(side_dims=8, head_dims=8), 'side_dims at least 16'),
        (dict(side_dims=40), 'side_dims must be a multiple of head_dims = 16'),
        (dict(layers='top_4'), '4 side blocks were asked for and the trunk has 3'),
        (dict(layers='odd'), "layers must be 'all'"),
        (dict(frames_per_pass=0), 'frames_per_pass must be a positive'),
    ],
)
def test_impossible_options_are_refused_by_its_name(options, said):
    with pytest.raises(ValueError, match=f'TDSCLIPViT: .*{said}'):
        build(**options)


def test_rectangles_run():
    arch = TINY_ARCH | dict(img_size=(24, 40))
    model = TDSCLIPViT(tiny_trunk(arch=arch), side_dims=32, head_dims=16)
    assert model(torch.randn(2, 3, 15, 24, 40)).shape == (2, 32)


@pytest.mark.parametrize('portion', [1, 3, None])
def test_frames_may_pass_in_any_portions(portion):
    torch.testing.assert_close(
        build(frames_per_pass=portion)(groups()), build(frames_per_pass=64)(groups())
    )


def test_initial_values_are_the_released_ones():
    model = TDSCLIPViT(tiny_trunk(), side_dims=256).side
    spread = lambda x: x.std().item()  # noqa: E731
    block = model.blocks[0]
    assert spread(model.position_embedding) == pytest.approx(0.01, rel=0.05)
    assert spread(block.attn.in_proj.weight) == pytest.approx(256**-0.5, rel=0.05)
    assert spread(block.mlp.fc1.weight) == pytest.approx(512**-0.5, rel=0.05)
    assert spread(block.mlp.fc2.weight) == pytest.approx((24 * 256) ** -0.5, rel=0.05)
    for layer, fan_in in (
        (model.stem.conv, 3 * 3 * 64),
        (model.stem.diff_conv, 12 * 3 * 64),
        (block.gate.down, 256),
        (block.gate.up, 16),
    ):
        bound = layer.weight.abs().max().item()
        assert bound == pytest.approx(fan_in**-0.5, rel=0.02)
    for norm in (model.stem.diff_norm, block.gate.bn_1, block.gate.bn_2):
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


@pytest.mark.slow
def test_recomputed_blocks_give_the_same():
    found = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp).train()
        model(groups()).square().sum().backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        found.append((grads, dict(model.named_buffers())))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.slow
def test_training_with_recomputed_blocks_is_one_graph():
    outcomes = []
    for compiled in (False, True):
        model = build(with_cp=True).train()
        if compiled:
            model.compile(fullgraph=True, backend='aot_eager')
        feature = model(groups())
        feature.square().sum().backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        outcomes.append((feature, grads, dict(model.named_buffers())))
    torch.testing.assert_close(outcomes[1], outcomes[0], rtol=1e-4, atol=1e-4)
