"""AIM: the image model's own attention looks along time, at its places alone."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmstadapter.models import AIMViT
from mmstadapter.models.ops.drop_path import DropPath
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk, toy_clips


def build(**options) -> AIMViT:
    return fill(AIMViT(tiny_trunk(tune='after_blocks'), **dict(num_frames=4) | options))


@pytest.mark.parametrize('type', ['CLIPViT', 'EVAViT'])
def test_it_starts_from_the_image_model(type):
    trunk = dict(type=f'mmstadapter.{type}', arch=dict(TINY_ARCH))
    model = AIMViT(trunk, num_frames=4, time_in=True).eval()
    fill(model.trunk)
    video, trunk = toy_clips(), model.trunk
    images = [trunk.final_norm(trunk.readout(trunk(video[:, :, t]))) for t in range(4)]
    torch.testing.assert_close(model(video), torch.stack(images).mean(dim=0))


def test_it_trains_its_own_parts_and_the_last_norm():
    model = build(time_in=True).eval()
    model(toy_clips()).square().sum().backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    frozen = {
        n for n, _ in model.named_parameters() if n.startswith('trunk.') and 'ln_post' not in n
    }
    assert with_gradient == {n for n, _ in model.named_parameters()} - frozen
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_in_the_first_step_the_inner_matrices_stand_still_as_released():
    model = AIMViT(tiny_trunk(), num_frames=4).eval()
    model(toy_clips()).square().sum().backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert not any(g.any() for n, g in grads.items() if '.fc1.' in n)
    assert all(g.any() for n, g in grads.items() if '.fc2.' in n)


def test_attention_over_time_is_the_trunks_own_at_every_place():
    model = build().eval()
    model.trunk.eval()
    x = torch.randn(8, 17, 32)  # two clips of four frames
    block = model.trunk.blocks[0]
    places = [x.view(2, 4, 17, 32)[:, :, n] for n in range(17)]
    expected = [p + model.time_out[0](block.attn(block.ln_1(p))) for p in places]
    given = model.attend_over_time(x, 0, 4)
    torch.testing.assert_close(given, torch.stack(expected, dim=2).view(8, 17, 32))


def test_order_matters_through_the_time_positions_alone():
    model, video = build().eval(), toy_clips(batch=1)
    assert not torch.allclose(model(video), model(video.flip(2)), atol=1e-3)
    nn.init.zeros_(model.time_embed)
    torch.testing.assert_close(model(video), model(video.flip(2)))


def test_the_last_block_gives_the_class_token_of_all_tokens():
    model = build(time_in=True).eval()
    torch.testing.assert_close(model(toy_clips()), dict(model.trace(toy_clips()))['feature'])


def test_a_rectangle_and_another_length_run():
    model = fill(AIMViT(tiny_trunk(img_size=(24, 40)), num_frames=4)).eval()
    video = torch.randn(2, 3, 6, 24, 40)
    assert model(video).shape == (2, 32)
    apart = torch.cat([model(clip[None]) for clip in video])
    torch.testing.assert_close(model(video), apart)


def test_recomputing_blocks_changes_no_gradient_whatever_is_dropped():
    grads = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, drop_path_rate=0.5).train()
        torch.manual_seed(1)
        model(toy_clips()).square().sum().backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*grads)


class TestDropPath:
    def dropped(self, over: str, layout: str = 'b t n') -> torch.Tensor:
        """Which clips, frames and places of ones are zero."""
        torch.manual_seed(0)
        out = DropPath(0.5, over).train()(torch.ones(8, 6, 50, 3), layout)
        assert set(out.unique().tolist()) == {0.0, 2.0}
        assert torch.equal(out, out[..., :1].expand_as(out))
        return out[..., 0] == 0

    def test_released_it_drops_places_of_all_clips_and_frames(self):
        zero = self.dropped('place')
        assert torch.equal(zero, zero[:1, :1].expand_as(zero))
        assert 10 < zero[0, 0].sum() < 40

    def test_or_frames(self):
        zero = self.dropped('frame')
        assert torch.equal(zero, zero[:, :, :1].expand_as(zero))
        assert 10 < zero[:, :, 0].sum() < 38

    def test_or_clips(self):
        zero = self.dropped('clip')
        assert torch.equal(zero, zero[:, :1, :1].expand_as(zero))
        assert 0 < zero[:, 0, 0].sum() < 8

    def test_the_draw_is_the_same_in_any_layout(self):
        drop = DropPath(0.5, 'place').train()
        u = torch.randn(2, 4, 17, 3)
        outs = []
        for layout, sizes in (('(b t) n', dict(t=4)), ('(b n) t', dict(n=17))):
            torch.manual_seed(3)
            x = u.flatten(0, 1) if 't)' in layout else u.transpose(1, 2).flatten(0, 1)
            y = drop(x, layout, **sizes)
            y = y.view(2, 4, 17, 3) if 't)' in layout else y.view(2, 17, 4, 3).transpose(1, 2)
            outs.append(y)
        assert torch.equal(*outs)

    def test_nothing_is_dropped_in_testing_nor_at_rate_zero(self):
        u = torch.randn(2, 3, 4, 5)
        assert torch.equal(DropPath(0.5).eval()(u, 'b t n'), u)
        assert torch.equal(DropPath(0.0).train()(u, 'b t n'), u)

    @pytest.mark.parametrize('options', [dict(rate=1.0), dict(rate=-0.1), dict(rate=0, over='row')])
    def test_other_settings_are_refused(self, options):
        with pytest.raises(ValueError, match='DropPath: '):
            DropPath(**options)


def test_rates_grow_from_none_in_the_first_block():
    model = AIMViT(tiny_trunk(), drop_path_rate=0.2)
    assert [round(drop.rate, 3) for drop in model.drop_path] == [0, 0.1, 0.2]


def test_it_is_built_on_tensors_without_values_as_planning_needs():
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = AIMViT(tiny_trunk(), drop_path_rate=0.2).train()
        assert model(torch.empty(2, 3, 8, 32, 32)).shape == (2, 32)


@pytest.mark.parametrize('ratio', [0.0, 0.01])
def test_a_bottleneck_of_no_width_is_refused(ratio):
    with pytest.raises(ValueError, match='width at least 1, got'):
        AIMViT(tiny_trunk(), ratio=ratio)
