"""What the Side4Video paper promises, and every choice of its Table 9."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from mmstadapter import FrameMeanViT, Side4VideoViT, VideoHead
from mmstadapter.models.backbones.side4video.operators import shifted_class_tokens
from mmstadapter.models.backbones.side4video.options import CHOICES, select_layers
from mmstadapter.testing import fill, tiny_trunk, toy_clips


def build(trunk: dict | None = None, **fields) -> Side4VideoViT:
    """A small model on the tiny trunk with random values everywhere."""
    fields = dict(side_dims=16, head_dims=8) | fields
    return fill(Side4VideoViT(trunk=tiny_trunk(**(trunk or {})), **fields))


class TestTheTrunk:
    def test_no_tensor_of_it_requires_a_gradient(self):
        model = build()
        seen = []
        for block in model.trunk.blocks:
            block.register_forward_hook(lambda m, x, out: seen.append((x[0], out)))
        model.train()(toy_clips()).sum().backward()
        assert len(seen) == 3
        assert not any(x.requires_grad or out.requires_grad for x, out in seen)
        assert all(p.grad is None and not p.requires_grad for p in model.trunk.parameters())

    @pytest.mark.parametrize('fields, reads', [({}, 3), (dict(layers='interval'), 1)])
    def test_backward_keeps_of_it_what_the_down_projections_read_and_no_more(self, fields, reads):
        model = build(**fields).train()
        kept = saved_tensors(lambda: model(toy_clips()))
        weights = {p.data_ptr() for p in model.parameters()}
        wide = {t.data_ptr() for t in kept if t.shape[-1] in (32, 96, 128)} - weights
        # the trunk has 32 (tokens), 96 (qkv), 128 (MLP); the side network 16, 48 and 64
        assert len(wide) == reads

    def test_post_norm_keeps_the_same_of_it(self):
        model = build(norm='post').train()
        kept = saved_tensors(lambda: model(toy_clips()))
        weights = {p.data_ptr() for p in model.parameters()}
        wide = [t for t in kept if t.shape[-1] in (32, 96, 128) and t.data_ptr() not in weights]
        assert len({t.data_ptr() for t in wide}) == 3

    def test_a_layer_is_gone_when_the_next_exists(self):
        model, alive = build(layers='top_1').eval(), []

        def watch(module, inputs, output):
            assert [r() for r in alive[:-1]] == [None] * len(alive[:-1])
            alive.append(weakref.ref(output))

        for block in model.trunk.blocks:
            block.register_forward_hook(watch)
        with torch.no_grad():
            model(toy_clips())
        assert len(alive) == 3

    @pytest.mark.parametrize('portion', [None, 3])
    def test_while_a_layer_is_read_no_other_exists(self, portion):
        model, made = build(frames_per_pass=portion).eval(), []
        for i, block in enumerate(model.trunk.blocks):
            block.register_forward_hook(lambda m, x, out, i=i: made.append((i, weakref.ref(out))))
        found = []
        for block in model.side.blocks:
            block.register_forward_pre_hook(
                lambda *_: found.append({k for k, layer in made if layer() is not None})
            )
        with torch.no_grad():
            model(toy_clips())
        assert found == [{0}, {1}, {2}]

    def test_frames_may_pass_in_any_portions(self):
        model = build().eval()
        whole = model(toy_clips(2, 4))
        for portion in (1, 3, 8, None):
            model.frames_per_pass = portion
            torch.testing.assert_close(model(toy_clips(2, 4)), whole)

    def test_layers_after_the_last_read_are_not_computed(self):
        model = build(layers=[0])
        model.trunk.blocks[1].register_forward_hook(lambda *_: pytest.fail('computed'))
        model(toy_clips())


def saved_tensors(run) -> list[torch.Tensor]:
    """What autograd keeps for the backward pass of a function's result."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        run()
    return kept


def gradients(model: Side4VideoViT) -> dict[str, torch.Tensor]:
    """Of a training step, by parameter."""
    model(toy_clips()).float().square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


class TestCheckpointing:
    @pytest.mark.parametrize(
        'fields', [{}, dict(norm='post'), dict(temporal='attention', representation='side_cls')]
    )
    def test_changes_no_number_and_no_running_statistic(self, fields):
        plain, lean = (build(with_cp=cp, **fields).train() for cp in (False, True))
        for model in (plain, lean):
            model(toy_clips()).square().sum().backward()
        for (name, a), b in zip(plain.named_parameters(), lean.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None), name
            assert a.grad is None or torch.equal(a.grad, b.grad), name
        for (name, a), b in zip(plain.named_buffers(), lean.buffers(), strict=True):
            assert torch.equal(a, b), name

    @pytest.mark.parametrize('training', [True, False])
    def test_recomputes_in_the_mode_of_the_forward_pass(self, training):
        grads = []
        for mode_in_backward in (training, not training):
            model = build(with_cp=True).train(training)
            loss = model(toy_clips()).square().sum()
            model.train(mode_in_backward)
            loss.backward()
            grads.append([p.grad for p in model.side.parameters()])
        for a, b in zip(*grads, strict=True):
            assert torch.equal(a, b)

    def test_allows_a_second_backward_pass(self):
        model = build(with_cp=True).train()
        loss, weight = model(toy_clips()).square().sum(), model.side.blocks[0].mlp.fc1.weight
        first, second = (torch.autograd.grad(loss, weight, retain_graph=True) for _ in range(2))
        assert torch.equal(*first, *second)

    def test_keeps_less(self):
        sizes = []
        for cp in (False, True):
            model = build(with_cp=cp).train()
            weights = {p.data_ptr() for p in model.parameters()}
            kept = saved_tensors(lambda m=model: m(toy_clips()))
            unique = {t.data_ptr(): t for t in kept if t.data_ptr() not in weights}
            sizes.append(sum(t.numel() for t in unique.values()))
        assert sizes[1] < 0.6 * sizes[0]

    @pytest.mark.parametrize('amp, dtype', [(True, torch.bfloat16), (False, torch.float32)])
    def test_a_float32_trunk_is_kept_as_it_is_multiplied(self, amp, dtype):
        trunk, width = dict(type='mmstadapter.EVAViT'), 32
        models = [build(trunk, norm='post', with_cp=cp).train() for cp in (False, True)]
        grads, kept = [], []
        for model in models:
            with torch.autocast('cpu', torch.bfloat16, enabled=amp):
                kept = saved_tensors(lambda m=model: grads.append(gradients(m)))
        assert {t.dtype for t in kept if t.ndim == 3 and t.shape[-1] == width} == {dtype}
        for (name, plain), lean in zip(grads[0].items(), grads[1].values(), strict=True):
            assert torch.equal(plain, lean), name

    def test_a_hooked_down_projection_reads_the_tokens_as_they_are(self):
        model, seen = build(dict(type='mmstadapter.EVAViT'), norm='post', with_cp=True), []
        model.side.blocks[0].down.linear.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
        with torch.autocast('cpu', torch.bfloat16):
            gradients(model.train())
        assert {x.dtype for x in seen} == {torch.float32}

    @pytest.mark.slow
    def test_a_compiler_steps_around_it(self):
        model = build(with_cp=True, layers='top_1').train()
        s, z = torch.randn(4, 16, 16), torch.randn(4, 17, 32)
        given = (s, 2, [z], model.trunk, 2)
        read = torch.compile(model.side.read, backend='eager')
        torch.testing.assert_close(read(*given), model.side.read(*given))


class TestTable9:
    @pytest.mark.parametrize(
        'layers, indices',
        [
            ('all', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            ('interval', [1, 3, 5, 7, 9, 11]),
            ('interval_4', [2, 5, 8, 11]),
            ('interval_6', [1, 3, 5, 7, 9, 11]),
            ('top_2', [10, 11]),
            ([3, 0], [0, 3]),
        ],
    )
    def test_layers(self, layers, indices):
        assert select_layers(layers, 12) == indices

    def test_the_paper_s_layers_for_vit_e_are_the_2nd_4th_to_64th(self):
        assert select_layers('interval', 64) == list(range(1, 64, 2))
        assert select_layers('top_32', 64) == list(range(32, 64))

    @pytest.mark.parametrize(
        'field, word', [(field, word) for field, words in CHOICES.items() for word in words]
    )
    def test_every_choice_trains_every_parameter(self, field, word):
        model = build(**{field: word}).train()
        feature = model(toy_clips())
        assert feature.shape == (2, 16)
        feature.square().sum().backward()
        without = [n for n, p in model.side.named_parameters() if p.grad is None]
        assert without == []

    def test_every_choice_changes_the_feature(self):
        base = build().eval()(toy_clips())
        changes = [dict(temporal='none'), dict(temporal='attention'), dict(cls_shift=False)]
        changes += [dict(fusion='sum'), dict(norm='post'), dict(layers='interval')]
        changes += [dict(representation='trunk_cls'), dict(representation='side_cls')]
        for change in changes:
            assert not torch.allclose(build(**change).eval()(toy_clips()), base), change

    @pytest.mark.parametrize('fusion', CHOICES['fusion'])
    def test_an_own_class_token_takes_up_none_of_the_trunk_s(self, fusion):
        fields = dict(cls_shift=False, fusion=fusion)
        own, theirs = (build(representation=r, **fields) for r in ('side_cls', 'trunk_cls'))
        s, tokens = torch.randn(4, 17, 16), torch.randn(4, 17, 32)
        moved = torch.cat([torch.randn(4, 1, 32), tokens[:, 1:]], dim=1)
        for model, sees in ((own, False), (theirs, True)):
            block, positions = model.side.blocks[0].eval(), model.side.position_embedding
            a, b = (block(s, [z], positions, 2)[:, 0] for z in (tokens, moved))
            assert torch.allclose(a, b) != sees

    def test_without_time_the_order_of_frames_does_not_matter_beyond_the_stem(self):
        model = build(temporal='none', cls_shift=False).eval()
        nn.init.zeros_(model.side.stem.conv.weight[:, :, 0])
        nn.init.zeros_(model.side.stem.conv.weight[:, :, 2])
        video = toy_clips()
        torch.testing.assert_close(model(video), model(video.flip(2)))
        model = build().eval()
        assert not torch.allclose(model(video), model(video.flip(2)), rtol=1e-3, atol=1e-3)


def test_the_class_token_is_shifted_half_from_the_next_and_half_from_the_last_frame():
    z = torch.arange(1.0, 5.0).repeat(2)[:, None, None].expand(8, 2, 4)  # two clips, T = 4
    shifted = shifted_class_tokens(z, num_frames=4)[:4, 0]
    assert shifted[:, 0].tolist() == [2, 3, 4, 0] and shifted[:, 3].tolist() == [0, 1, 2, 3]


def test_the_stem_is_the_released_convolution():
    stem = build().side.stem.eval()
    video = toy_clips(2, 4, size=37)  # 37 pixels: a grid of 4 patches of 8 and a remainder
    conv = stem.conv
    volume = F.conv3d(video, conv.weight, conv.bias, conv.stride, conv.padding)
    expected = stem.norm(rearrange(volume, 'b c t h w -> (b t) (h w) c'))
    torch.testing.assert_close(stem(video), expected)


class TestJointVectors:
    def test_start_as_plain_clip_frame_by_frame(self):
        trunk = tiny_trunk(with_proj=True)
        model = Side4VideoViT(trunk=trunk, side_dims=16, head_dims=8, output='frames')
        plain = FrameMeanViT(trunk=trunk, output='frames')
        plain.trunk.load_state_dict(model.trunk.state_dict())
        torch.testing.assert_close(model(toy_clips()), plain(toy_clips()))

    def test_train_the_norm_and_the_projection_where_asked(self):
        model = build(dict(with_proj=True, tune='after_blocks'), output='frames', cls_position=True)
        assert not model.trunk.trains_layers
        model.train()(toy_clips()).square().sum().backward()
        tuned = [n for n, p in model.trunk.named_parameters() if p.grad is not None]
        assert sorted(tuned) == ['ln_post.bias', 'ln_post.weight', 'proj']
        assert model.side.position_embedding.shape == (17, 16)


class TestInitialValues:
    """Spec of the released code: what each tensor starts from, by trunk and task."""

    @staticmethod
    def stds(**fields) -> dict[str, float]:
        trunk = tiny_trunk(with_proj=True)
        torch.manual_seed(0)
        block = Side4VideoViT(trunk=trunk, side_dims=64, **fields).side.blocks[0]
        return {n: p.std().item() for n, p in block.named_parameters() if p.ndim > 1}

    def test_recognition_with_clip(self):
        std = self.stds()
        assert std['attn.in_proj.weight'] == pytest.approx(64**-0.5, rel=0.05)
        assert std['attn.out_proj.weight'] == pytest.approx((64 * 24) ** -0.5, rel=0.05)
        assert std['mlp.fc1.weight'] == pytest.approx(128**-0.5, rel=0.05)
        assert std['mlp.fc2.weight'] == pytest.approx((64 * 24) ** -0.5, rel=0.05)
        assert std['conv.pw1.weight'] == pytest.approx((64 * 3) ** -0.5, rel=0.05)

    def test_retrieval_with_clip(self):
        std = self.stds(output='frames')
        for name in ('attn.out_proj', 'mlp.fc1', 'mlp.fc2', 'down.linear', 'conv.pw1', 'conv.pw2'):
            assert std[f'{name}.weight'] == pytest.approx(0.02, rel=0.05), name
        assert std['conv.dw.weight'] == pytest.approx(64**-0.5, rel=0.2)

    def test_eva(self):
        std = self.stds(norm='post')
        for name in ('attn.in_proj', 'attn.out_proj', 'mlp.fc1', 'conv.pw1'):
            assert std[f'{name}.weight'] == pytest.approx((64 * 3) ** -0.5, rel=0.05), name


@pytest.mark.parametrize(
    'arch, side_dims, layers, num_classes, tuned',
    [
        ('vit-b-p16', 320, 'all', 400, 21_185_232),  # 21.19 M
        ('vit-b-p16', 320, 'all', 174, 21_112_686),  # 21.11 M
        ('vit-b-p32', 320, 'all', 174, 23_277_486),  # 23.28 M
        ('vit-b-p16', 192, 'interval', 174, 4_530_414),  # 4.53 M
        ('vit-l-p14', 512, 'all', 174, 102_108_846),  # 102.1 M
        ('vit-l-p14', 320, 'interval', 174, 21_948_270),  # 21.95 M
    ],
)
def test_trained_parameters_are_those_of_the_released_models(
    arch, side_dims, layers, num_classes, tuned
):
    with torch.device('meta'):
        backbone = Side4VideoViT(
            trunk=dict(type='mmstadapter.CLIPViT', arch=arch), side_dims=side_dims, layers=layers
        )
        head = VideoHead(side_dims, num_classes)
    model = nn.ModuleList([backbone, head])
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == tuned


class TestRefusals:
    @pytest.mark.parametrize(
        'fields, message',
        [
            (dict(side_dims=20), 'side_dims must be a multiple of head_dims = 8, got 20'),
            (dict(layers='top_4'), '4 side blocks were asked for and the trunk has 3 layers'),
            (dict(layers='interval_9'), '9 side blocks were asked for and the trunk has 3'),
            (dict(layers='bottom'), "layers must be 'all', 'interval'"),
            (dict(layers=[3]), 'from 0 to 2'),
            (dict(layers=[0, 1, 1]), r'different indices from 0 to 2, got \[0, 1, 1\]'),
            (dict(layers='top_0'), "got 'top_0'"),
            (dict(layers=3), 'or a list of different indices from 0 to 2, got 3'),
            (dict(head_dims=0), 'side_dims must be a multiple of head_dims = 0, got 16'),
            (dict(temporal='lstm'), 'temporal must be one of conv, attention, none'),
            (dict(representation='max'), 'representation must be one of avg_pool'),
            (dict(frames_per_pass=0), 'frames_per_pass must be a positive whole number or None'),
            (dict(frames_per_pass=2.5), 'frames_per_pass must be a positive whole number'),
        ],
    )
    def test_a_wrong_option_is_named(self, fields, message):
        with pytest.raises(ValueError, match=message):
            build(**fields)

    def test_frames_without_their_clips_are_refused(self):
        with pytest.raises(ValueError, match=r'clips must be \(B, 3, T, H, W\)'):
            build()(torch.randn(8, 3, 32, 32))

    def test_batch_norm_of_one_value_is_refused_in_training(self):
        model = build(dict(img_size=8)).train()
        with pytest.raises(ValueError, match='needs more than one value a channel, got 1 '):
            model(toy_clips(1, 1, size=8))
        assert model.eval()(toy_clips(1, 1, size=8)).shape == (1, 16)
