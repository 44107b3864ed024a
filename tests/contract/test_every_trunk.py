"""What every registered trunk keeps, alone and under ST-Adapter, on tiny random instances.

Trunks of optional libraries are swept where the library is installed.
"""

from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from typing import NamedTuple

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import save_file
from torch import nn

from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.models import Trunk, trunks
from mmstadapter.models.recomputing import STEPS
from mmstadapter.testing import TINY_ARCH, fill, toy_clips, write_clip_file, write_eva_file


class Case(NamedTuple):
    """A trunk of 32 channels, 3 layers and patches of 8 pixels, and the library it needs."""

    config: Callable[[int], dict]  # of the frames' size in pixels
    needs: str | None = None
    prefix: int = 1  # tokens before the patches


def clip(size: int) -> dict:
    return dict(type='mmstadapter.CLIPViT', arch=dict(TINY_ARCH), img_size=size)


def eva(size: int) -> dict:
    return dict(type='mmstadapter.EVAViT', arch=dict(TINY_ARCH), img_size=size)


def mmpretrain(**options) -> Callable[[int], dict]:
    arch = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)

    def config(size: int) -> dict:
        vit = dict(arch=dict(arch), img_size=size, patch_size=8) | options
        return dict(type='mmstadapter.MMPretrainViT', vit=vit)

    return config


def timm(model: str, **options) -> Callable[[int], dict]:
    tiny = dict(embed_dim=32, depth=3, num_heads=2, patch_size=8)

    def config(size: int) -> dict:
        options_ = tiny | dict(img_size=size) | options
        return dict(type='mmstadapter.TimmViT', model=model, options=options_)

    return config


# Every trunk with the variants worth sweeping. A new trunk adds its rows here.
CASES = {
    'clip': Case(clip),
    'eva': Case(eva),
    'mmpretrain-in21k': Case(mmpretrain(), 'mmpretrain'),
    'mmpretrain-dinov2': Case(
        mmpretrain(layer_scale_init_value=1e-1, layer_cfgs=dict(ffn_type='swiglu_fused')),
        'mmpretrain',
    ),
    'mmpretrain-patches': Case(
        mmpretrain(out_type='avg_featmap', with_cls_token=False), 'mmpretrain', prefix=0
    ),
    'timm-clip': Case(timm('vit_base_patch16_clip_224'), 'timm'),
    'timm-dinov2-reg': Case(timm('vit_small_patch14_reg4_dinov2'), 'timm', prefix=5),
    'timm-dinov3': Case(timm('vit_small_patch16_dinov3'), 'timm', prefix=5),
    'timm-siglip': Case(timm('vit_base_patch16_siglip_224'), 'timm', prefix=0),
    'timm-eva02': Case(timm('eva02_tiny_patch14_224'), 'timm'),
    'timm-pe': Case(timm('vit_pe_core_base_patch16_224'), 'timm'),
    'timm-rope-mixed': Case(timm('vit_small_patch16_rope_mixed_224'), 'timm'),
    'timm-post-norm': Case(timm('vit_base_patch16_rpn_224'), 'timm', prefix=0),
}
ELSEWHERE = {'HFVideoViT'}  # takes clips in place of frames: tests/models/test_hf_video_vit.py
LIBRARIES = {case.needs for case in CASES.values()} - {None}
MISSING = sorted(library for library in LIBRARIES if find_spec(library) is None)


# Those of a library that is not installed are left out, with the reason.
EVERY = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            case.needs in MISSING, reason=f'{name}: {case.needs} is not installed'
        ),
    )
    for name, case in CASES.items()
]


def build(name: str, size: int = 32, **changes) -> Trunk:
    return MODELS.build(CASES[name].config(size) | changes)


def adapted(name: str, size: int = 32, **changes) -> nn.ModuleDict:
    """ST-Adapter at every position on a trunk, inside a model as the host builds it."""
    config = dict(
        type='mmstadapter.STAdapterViT',
        trunk=CASES[name].config(size) | changes,
        bottleneck_dims=8,
        kernel_size=(3, 3, 3),
        positions=('before_attn', 'after_attn', 'after_mlp'),
    )
    return nn.ModuleDict(dict(backbone=MODELS.build(config)))


def write_file(name: str, path, seed: int = 0) -> str:
    """A random pretrained file of a case, as its library writes them."""
    if name == 'clip':
        return write_clip_file(path / f'{seed}.safetensors', seed=seed)
    if name == 'eva':
        return write_eva_file(path / f'{seed}.safetensors', seed=seed)
    tensors = fill(build(name), seed).vit.state_dict()
    if CASES[name].needs == 'timm':
        save_file({n: t.contiguous() for n, t in tensors.items()}, path / f'{seed}.safetensors')
        return str(path / f'{seed}.safetensors')
    content = {f'backbone.{n}': t for n, t in tensors.items()} | {'head.fc.bias': torch.ones(3)}
    torch.save(dict(state_dict=content, meta=dict(epoch=1)), path / f'{seed}.pth')
    return str(path / f'{seed}.pth')


def test_the_sweep_sees_every_registered_trunk():
    registered = {name for name in trunks.__all__ if MODELS.get(name) is not None}
    swept = {case.config(32)['type'].split('.')[1] for case in CASES.values()}
    assert registered == swept | ELSEWHERE
    assert len(CASES) == 13


def test_the_sweep_leaves_out_only_what_is_not_installed():
    left_out = {p.values[0] for p in EVERY if p.marks[0].args[0]}
    assert left_out == {name for name, case in CASES.items() if case.needs in MISSING}
    assert len(CASES) - len(left_out) == 2 + 3 * ('mmpretrain' not in MISSING) + 8 * (
        'timm' not in MISSING
    )


@pytest.mark.parametrize('name', EVERY)
class TestEveryTrunk:
    def test_tokens_are_prefix_and_grid(self, name):
        trunk = fill(build(name))
        assert trunk.num_prefix_tokens == CASES[name].prefix
        assert trunk.grid == (4, 4)
        assert trunk.embed(toy_clips()[:, :, 0]).shape == (2, CASES[name].prefix + 16, 32)

    def test_a_block_is_attention_and_mlp_in_turn(self, name):
        trunk = fill(build(name))
        x = trunk.embed(toy_clips()[:, :, 0])
        for block in trunk.blocks:
            torch.testing.assert_close(block(x), block.feed_forward(block.attend(x)))
            x = block(x)
        torch.testing.assert_close(trunk(toy_clips()[:, :, 0]), x)

    def test_attention_for_some_queries_is_that_for_all(self, name):
        trunk = fill(build(name))
        x = trunk.embed(toy_clips()[:, :, 0])
        for block in trunk.blocks:
            torch.testing.assert_close(block.attend(x, 2), block.attend(x)[:, :2])
            torch.testing.assert_close(block(x, 2), block(x)[:, :2])

    def test_the_feature_needs_no_more_than_the_readout_tokens(self, name):
        trunk = fill(build(name))
        x = trunk(toy_clips()[:, :, 0])
        feature = trunk.final_norm(trunk.readout(x))
        assert feature.shape == (2, 32)
        some = trunk.readout(x[:, : trunk.readout_tokens])
        torch.testing.assert_close(trunk.final_norm(some), feature)

    def test_nothing_writes_into_its_input(self, name):
        trunk = fill(build(name))
        x = trunk.embed(toy_clips()[:, :, 0])
        before = x.clone()
        for block in trunk.blocks:
            block.feed_forward(x), block.attend(x), trunk.readout(x)
        assert torch.equal(x, before)

    def test_a_copy_is_another_trunk(self, name):
        trunk = fill(build(name))
        before, copied = trunk(toy_clips()[:, :, 0]), fill(deepcopy(trunk), seed=1)
        assert torch.equal(trunk(toy_clips()[:, :, 0]), before)
        assert not torch.allclose(copied(toy_clips()[:, :, 0]), before)

    def test_frozen_stays_in_eval_and_train_returns_self(self, name):
        trunk = build(name)
        assert trunk.train() is trunk
        assert not any(module.training for module in trunk.modules())
        assert not any(p.requires_grad for p in trunk.parameters())

    @pytest.mark.parametrize('tune', ['bias', 'norm', 'last_1', 'all'])
    def test_only_what_is_tuned_gets_gradients(self, name, tune):
        trunk = fill(build(name, tune=tune)).train()
        trunk.final_norm(trunk.readout(trunk(toy_clips()[:, :, 0]))).pow(2).sum().backward()
        tuned = {n for n, p in trunk.named_parameters() if p.requires_grad}
        assert tuned == {n for n, p in trunk.named_parameters() if p.grad is not None}
        assert 0 < len(tuned) <= len(list(trunk.parameters()))
        assert (len(tuned) == len(list(trunk.parameters()))) == (tune == 'all')

    def test_other_frame_sizes_are_refused_and_can_be_built(self, name):
        assert build(name, size=48)(toy_clips(size=48)[:, :, 0]).shape[1] == CASES[name].prefix + 36
        with pytest.raises(ValueError, match=r'frames must be \(32, 32\) pixels'):
            build(name)(toy_clips(size=48)[:, :, 0])

    def test_storing_16_bit_changes_little(self, name):
        whole, half = fill(build(name)), fill(build(name, dtype='float16'))
        assert {p.dtype for p in half.parameters()} == {torch.float16}
        frames = toy_clips()[:, :, 0]
        features = [t.final_norm(t.readout(t(frames))) for t in (whole, half)]
        assert features[1].dtype == torch.float32
        torch.testing.assert_close(*features, rtol=0.05, atol=0.05)
        with torch.autocast('cpu', torch.bfloat16):
            assert half.final_norm(half.readout(half(frames))).isfinite().all()

    def test_the_file_fills_every_tensor_at_its_own_and_other_sizes(self, name, tmp_path):
        path = write_file(name, tmp_path, seed=5)
        for size in (32, 48):
            trunk = build(name, size=size, checkpoint=path)
            assert trunk.frozen_keys() == []
            with pytest.raises(RuntimeError, match='have not been read'):
                trunk(toy_clips(size=size)[:, :, 0])
            trunk.init_weights()
            assert set(trunk.frozen_keys()) == set(trunk.state_dict())
            assert trunk(toy_clips(size=size)[:, :, 0]).isfinite().all()
        again = build(name, checkpoint=path)
        again.init_weights()
        written = fill(
            build(name, **dict(with_proj=True) if name in ('clip', 'eva') else {}), seed=5
        )
        for key, tensor in again.state_dict().items():
            assert torch.equal(tensor, written.state_dict()[key]), key

    def test_a_file_of_another_size_is_refused(self, name, tmp_path):
        path = write_file(name, tmp_path)
        config = CASES[name].config(32) | dict(checkpoint=path)
        if CASES[name].needs == 'timm':
            config['options']['depth'] = 2
        else:
            config.get('vit', config)['arch']['num_layers'] = 2
        with pytest.raises(RuntimeError, match='is not a file of this size'):
            MODELS.build(config).init_weights()


@pytest.mark.parametrize('name', EVERY)
class TestSTAdapterOnEveryTrunk:
    def test_starts_as_the_trunk_without_adapters(self, name):
        model = adapted(name)['backbone']
        fill(model.trunk)
        plain = MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=CASES[name].config(32)))
        plain.trunk.load_state_dict(model.trunk.state_dict())
        torch.testing.assert_close(model(toy_clips()), plain(toy_clips()), rtol=0, atol=1e-6)

    def test_adapters_that_are_not_zero_matter(self, name):
        model = adapted(name)['backbone']
        before = fill(model.trunk) and model(toy_clips())
        fill(model)
        assert not torch.allclose(model(toy_clips()), before)

    def test_gives_one_feature_a_clip_of_any_length_and_size(self, name):
        for size in (32, 48):
            model = adapted(name, size)['backbone']
            shapes = [model(toy_clips(3, frames, size)).shape for frames in (1, 3, 4)]
            assert shapes == [(3, 32)] * 3

    def test_one_clip_does_not_see_another(self, name):
        model = fill(adapted(name))['backbone']
        apart = torch.cat([model(clip[None]) for clip in toy_clips()])
        torch.testing.assert_close(model(toy_clips()), apart)

    def test_only_adapters_get_gradients_and_move(self, name):
        model = fill(adapted(name)).train()
        frozen = {n: t.clone() for n, t in model.state_dict().items() if '.trunk.' in n}
        tuned = {n: p for n, p in model.named_parameters() if p.requires_grad}
        assert tuned and not [n for n in tuned if '.trunk.' in n]
        optimizer = torch.optim.AdamW(tuned.values(), lr=0.1, weight_decay=0.1)
        model['backbone'](toy_clips()).pow(2).sum().backward()
        optimizer.step()
        assert tuned.keys() == {n for n, p in model.named_parameters() if p.grad is not None}
        assert all(torch.equal(model.state_dict()[n], t) for n, t in frozen.items())

    def test_recomputing_activations_changes_nothing(self, name):
        model = fill(adapted(name)).train()['backbone']
        grads = []
        for model.recompute in STEPS:
            model.zero_grad()
            model(toy_clips()).pow(2).sum().backward()
            grads.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
        for others in grads[1:]:
            torch.testing.assert_close(others, grads[0])

    def test_tuned_checkpoint_round_trip_is_bit_equal(self, name, tmp_path):
        path = write_file(name, tmp_path, seed=5)
        model = adapted(name, checkpoint=path)
        model['backbone'].init_weights()
        fill(nn.ModuleList(m for n, m in model['backbone'].named_children() if n != 'trunk'))
        kept = drop_frozen(model, model.state_dict())
        again = adapted(name, checkpoint=path)
        again.load_state_dict(kept, strict=True)
        assert torch.equal(model['backbone'](toy_clips()), again['backbone'](toy_clips()))
        assert [n for n in kept if '.trunk.' in n] == ['backbone.trunk.fingerprint']
        other = adapted(name, checkpoint=write_file(name, tmp_path, seed=6))
        with pytest.raises(RuntimeError, match='was trained on another trunk'):
            other.load_state_dict(drop_frozen(model, model.state_dict()))

    def test_a_whole_checkpoint_needs_no_file(self, name):
        model = fill(adapted(name))
        again = adapted(name)
        again.load_state_dict(model.state_dict(), strict=True)
        assert torch.equal(model['backbone'](toy_clips()), again['backbone'](toy_clips()))


@pytest.mark.parametrize('name', EVERY)
class TestSeams:
    """What methods put into a block's verbs; tests/models/test_seams.py has the equations."""

    def test_what_changes_nothing_gives_the_same(self, name):
        trunk, same = fill(build(name)), nn.Identity()
        x = trunk.embed(toy_clips()[:, :, 0])
        block = trunk.blocks[0]
        torch.testing.assert_close(block.attend(x, pre=same, post=same), block.attend(x))
        plain = block.feed_forward(x)
        torch.testing.assert_close(block.feed_forward(x, pre=same, post=same), plain)
        if block.mixes:
            unmixed = block.attend(x, 2, mix=lambda q, k, v: (q, k, v))
            torch.testing.assert_close(unmixed, block.attend(x, 2))
            bias = torch.zeros(1, 1, 2, x.shape[1])
            torch.testing.assert_close(block.attend(x, 2, bias=bias), block.attend(x, 2))

    def test_what_mix_and_bias_change_changes_the_output(self, name):
        trunk = fill(build(name))
        x = trunk.embed(toy_clips()[:, :, 0])
        block = trunk.blocks[0]
        if block.mixes:
            for seam in (
                dict(mix=lambda q, k, v: (q, k.flip(1), v)),
                dict(bias=torch.randn(1, x.shape[1])),
            ):
                assert not torch.allclose(block.attend(x, **seam), block.attend(x))
        else:
            with pytest.raises(TypeError, match='to take mix or bias, the attention must be a'):
                block.attend(x, mix=lambda q, k, v: (q, k, v))

    def test_a_method_that_mixes_is_built_or_refused_by_name(self, name):
        method = dict(type='mmstadapter.XViT', trunk=CASES[name].config(32))
        if build(name).blocks[0].mixes:
            assert len(MODELS.build(method)(toy_clips())) == 2
        else:
            with pytest.raises(ValueError, match='XViT: the blocks of the trunk must offer'):
                MODELS.build(method)
