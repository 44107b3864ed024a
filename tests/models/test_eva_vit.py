"""EVA-CLIP's trunk: the released numbers, sizes, memory on building, files."""

import weakref
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from einops import rearrange
from mmaction.registry import MODELS
from safetensors.torch import load_file, save_file

from mmstadapter.models import CLIPViT, EVAViT
from mmstadapter.models.trunks.eva_vit import ARCHS
from mmstadapter.testing import TINY_ARCH, fill, write_clip_file, write_eva_file
from mmstadapter.weights import LazyTensors, from_ours, load_eva_visual, read_tensors

PARITY = Path(__file__).parents[1] / 'reference' / 'parity'
REFERENCE = PARITY / 's4v_eva_2_two_heads_odd_grid.safetensors'
TOY = dict(img_size=12, patch_size=4, embed_dims=32, num_layers=2, num_heads=4)
RATIO = 8.571428571428571  # of the MLP's width to D, as the released options say it


@pytest.fixture
def frames():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def released():
    """The released code's trunk at toy size, and what it made of some frames."""
    stored = load_file(REFERENCE)
    trunk = EVAViT(TOY | dict(mlp_ratio=RATIO, output_dims=16), with_proj=True)
    given = {n.removeprefix('param/visual.'): t for n, t in stored.items() if 'side' not in n}
    own = {n: given[n] for n in trunk.state_dict()}
    trunk.load_state_dict(own)
    return trunk, stored


class TestReleasedNumbers:
    def test_every_block_gives_what_the_released_code_gives(self, released):
        trunk, stored = released
        x = trunk.embed(stored['input'].float())
        torch.testing.assert_close(x, stored['eval/act/trunk.in'], rtol=0, atol=1e-5)
        for i, block in enumerate(trunk.blocks):
            x = block(x)
            torch.testing.assert_close(x, stored[f'eval/act/trunk.block{i}'], rtol=0, atol=1e-5)

    def test_another_eps_would_be_seen(self, released):
        trunk, stored = released
        for norm in (m for m in trunk.modules() if isinstance(m, torch.nn.LayerNorm)):
            assert norm.eps == 1e-6
            norm.eps = 1e-5
        deviation = trunk(stored['input'].float()) - stored['eval/act/trunk.block1']
        assert deviation.abs().max() > 1e-4

    def test_a_key_bias_would_change_nothing(self, released):
        trunk, stored = released
        x, attn = trunk.embed(stored['input'].float()), trunk.blocks[0].attn
        shift = torch.randn(x.shape[-1])
        shifted = attn(x, mix=lambda q, k, v: (q, k + shift, v))
        torch.testing.assert_close(shifted, attn(x), rtol=0, atol=1e-5)


class TestSizes:
    def test_vit_e_has_its_parameters(self):
        with torch.device('meta'):
            trunk = EVAViT('eva-e-p14', dtype='bfloat16', with_proj=True)
        dims, mlp = 1792, 15360
        block = 4 * dims**2 + 2 * dims * mlp + dims * (2 + 1 + 1 + 4) + mlp
        outside = dims * (1 + 257 + 3 * 14**2 + 1 + 2) + 1024 * (dims + 1)
        assert sum(p.numel() for p in trunk.parameters()) == 64 * block + outside
        assert trunk.grid == (16, 16) and trunk.joint_dims == 1024

    def test_the_ratio_of_the_released_options_is_the_width(self):
        assert int(1792 * RATIO) == ARCHS['eva-e-p14']['mlp_dims']

    def test_the_mlp_is_four_times_as_wide_unless_said(self):
        assert EVAViT(TINY_ARCH).blocks[0].mlp.fc1.out_features == 128
        assert EVAViT(TINY_ARCH | dict(mlp_dims=40)).blocks[0].mlp.fc1.out_features == 40

    @pytest.mark.parametrize(
        'arch, message',
        [
            ('vit-b-p16', "EVAViT: unknown arch 'vit-b-p16'; choose from eva-e-p14"),
            (dict(img_size=32), 'missing'),
            (TINY_ARCH | dict(depth=3), "unknown .'depth'."),
            (TINY_ARCH | dict(num_heads=5), 'multiple of num_heads'),
            (TINY_ARCH | dict(img_size=4), 'at least one patch'),
            (TINY_ARCH | dict(mlp_dims=64, mlp_ratio=2), 'mlp_dims or mlp_ratio, not both'),
        ],
    )
    def test_bad_sizes_are_refused(self, arch, message):
        with pytest.raises(ValueError, match=message):
            EVAViT(arch)


class TestTrunk:
    def test_project_is_evas_head_and_its_absence_is_said(self):
        trunk = fill(EVAViT(TINY_ARCH, with_proj=True))
        x = torch.randn(2, 5, 32)
        torch.testing.assert_close(trunk.project(x), trunk.head(x))
        assert trunk.joint_dims == 16
        for use in (lambda t: t.project(x), lambda t: t.joint_dims):
            with pytest.raises(TypeError, match='with_proj=True'):
                use(EVAViT(TINY_ARCH))
        with pytest.raises(ValueError, match="needs 'output_dims'"):
            EVAViT(TOY, with_proj=True)

    def test_after_blocks_trains_the_final_norm_and_the_projection_alone(self):
        trunk = EVAViT(TINY_ARCH, tune='after_blocks', with_proj=True)
        tuned = {n for n, p in trunk.named_parameters() if p.requires_grad}
        assert tuned == {'norm.weight', 'norm.bias', 'head.weight', 'head.bias'}
        assert not trunk.trains_layers and EVAViT(TINY_ARCH, tune='last_1').trains_layers

    def test_class_attention_is_what_the_values_are_weighed_by(self, frames):
        trunk = fill(EVAViT(TINY_ARCH))
        x, block = trunk.embed(frames), trunk.blocks[0]
        weights = block.class_attention(x)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2))
        values = x @ block.attn.qkv.weight[64:].T + block.attn.v_bias
        values = rearrange(values, 'm l (h d) -> m h l d', h=2)
        mixed = rearrange(torch.einsum('mhl,mhld->mhd', weights, values), 'm h d -> m 1 (h d)')
        torch.testing.assert_close(block.attn.proj(mixed), block.attn(x, num_queries=1))

    def test_under_autocast_the_residual_stream_stays_float32(self, frames):
        trunk = fill(EVAViT(TINY_ARCH, dtype='bfloat16'))
        with torch.autocast('cpu', torch.bfloat16):
            assert trunk(frames).dtype == torch.float32
        assert trunk(frames.bfloat16()).dtype == torch.bfloat16

    def test_a_random_trunk_starts_with_norms_as_identities(self, frames):
        trunk = EVAViT(TINY_ARCH, with_proj=True)
        stored = trunk.state_dict()
        assert all((stored[n] == 1).all() for n in stored if 'norm' in n and n.endswith('weight'))
        assert all((stored[n] == 0).all() for n in stored if n.endswith('bias'))
        assert 0.015 < stored['blocks.0.mlp.fc1.weight'].std() < 0.025

    @pytest.mark.skipif(find_spec('timm') is None, reason='timm is not installed')
    def test_timms_own_form_of_it_gives_the_same(self, frames):
        options = dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2, mlp_ratio=4)
        model = 'eva02_enormous_patch14_clip_224'
        config = dict(type='mmstadapter.TimmViT', model=model, options=options)
        timm = fill(MODELS.build(config))
        own = {n.removeprefix('vit.'): t for n, t in timm.state_dict().items()}
        trunk = EVAViT(TINY_ARCH)
        trunk.load_state_dict(own)
        torch.testing.assert_close(trunk(frames), timm(frames))


class TestBuilding:
    def test_frozen_parameters_are_built_in_their_own_type(self, monkeypatch):
        made = []
        empty = torch.empty
        monkeypatch.setattr(torch, 'empty', lambda *a, **k: made.append(empty(*a, **k)) or made[-1])
        trunk = EVAViT(TINY_ARCH, dtype='bfloat16', checkpoint='some/file')
        real = [t for t in made if not t.is_meta]
        assert {t.dtype for t in real} == {torch.bfloat16}
        assert sum(t.nbytes for t in real) == 2 * sum(p.numel() for p in trunk.parameters())

    def test_tuned_parameters_are_float32(self):
        trunk = EVAViT(TINY_ARCH, tune='last_1', dtype='bfloat16')
        dtypes = {p.requires_grad: p.dtype for p in trunk.parameters()}
        assert dtypes == {True: torch.float32, False: torch.bfloat16}

    def test_nothing_is_initialised_when_a_file_follows(self, monkeypatch):
        def refuse(self, *args, **kwargs):
            assert self.is_meta
            return self

        for name in ('normal_', 'uniform_'):
            monkeypatch.setattr(torch.Tensor, name, refuse)
        EVAViT(TINY_ARCH, checkpoint='some/file')
        with pytest.raises(AssertionError):
            EVAViT(TINY_ARCH)

    def test_on_the_meta_device_it_stays_there(self):
        with torch.device('meta'):
            trunk = EVAViT(TINY_ARCH)
        assert all(p.is_meta for p in trunk.parameters())


class TestFiles:
    def test_names_with_and_without_prefix_and_open_clips_are_the_same(self, tmp_path, frames):
        path = write_eva_file(tmp_path / 'eva.safetensors')
        ours = dict(load_eva_visual(path))
        for name, tensors in {
            'bare': ours,
            'open_clip': from_ours('eva-open_clip', ours),
            'both': read_tensors(path) | {'text.ln_final.weight': torch.ones(2)},
        }.items():
            save_file(tensors, tmp_path / f'{name}.safetensors')
            trunk = EVAViT(TINY_ARCH, checkpoint=str(tmp_path / f'{name}.safetensors'))
            trunk.init_weights()
            expected = fill(EVAViT(TINY_ARCH, with_proj=True))
            assert torch.equal(trunk(frames), expected(frames))

    def test_the_table_goes_both_ways(self, tmp_path):
        ours = dict(load_eva_visual(write_eva_file(tmp_path / 'eva.safetensors')))
        theirs = from_ours('eva-clip', ours)
        assert 'visual.blocks.2.attn.q_bias' in theirs
        save_file(theirs, tmp_path / 'again.safetensors')
        again = load_eva_visual(tmp_path / 'again.safetensors')
        assert again.keys() == ours.keys()
        assert all(torch.equal(again[n], t) for n, t in ours.items())

    def test_an_eva_file_given_to_clip_names_the_right_trunk(self, tmp_path):
        trunk = CLIPViT(TINY_ARCH, checkpoint=write_eva_file(tmp_path / 'eva.safetensors'))
        with pytest.raises(KeyError, match=r"eva-clip, another .*type='mmstadapter.EVAViT'"):
            trunk.init_weights()

    def test_a_clip_file_given_to_eva_names_the_right_trunk(self, tmp_path):
        trunk = EVAViT(TINY_ARCH, checkpoint=write_clip_file(tmp_path / 'clip.safetensors'))
        with pytest.raises(KeyError, match=r"openai-clip, another .*type='mmstadapter.CLIPViT'"):
            trunk.init_weights()

    @pytest.mark.parametrize('extra', ['rope.freqs_cos', 'blocks.0.mlp.w1.weight'])
    @pytest.mark.parametrize('trunk', [EVAViT, CLIPViT])
    def test_parts_that_would_change_the_features_are_refused(self, tmp_path, extra, trunk):
        tensors = read_tensors(write_eva_file(tmp_path / 'eva.safetensors'))
        save_file(tensors | {f'visual.{extra}': torch.ones(2)}, tmp_path / 'other.safetensors')
        with pytest.raises(KeyError, match=r'EVA transformer with .*TimmViT'):
            trunk(TINY_ARCH, checkpoint=str(tmp_path / 'other.safetensors')).init_weights()

    @pytest.mark.parametrize('img_size, tokens', [(48, 37), ((32, 48), 25)])
    def test_other_input_sizes_take_a_resampled_position_table(self, tmp_path, img_size, tokens):
        path = write_eva_file(tmp_path / 'eva.safetensors')
        trunk = EVAViT(TINY_ARCH, checkpoint=path, img_size=img_size)
        trunk.init_weights()
        size = (img_size, img_size) if isinstance(img_size, int) else img_size
        assert trunk(torch.randn(1, 3, *size)).shape == (1, tokens, 32)

    def test_the_fingerprint_does_not_depend_on_the_projection(self, tmp_path):
        path = write_eva_file(tmp_path / 'eva.safetensors')
        trunks = [EVAViT(TINY_ARCH, checkpoint=path, with_proj=p) for p in (True, False)]
        for trunk in trunks:
            trunk.init_weights()
        assert torch.equal(trunks[0].fingerprint, trunks[1].fingerprint)
        without = {n: t for n, t in read_tensors(path).items() if '.head.' not in n}
        save_file(without, tmp_path / 'headless.safetensors')
        headless = EVAViT(TINY_ARCH, checkpoint=str(tmp_path / 'headless.safetensors'))
        headless.init_weights()
        assert torch.equal(headless.fingerprint, trunks[0].fingerprint)

    def test_one_tensor_of_the_file_is_held_at_a_time(self, tmp_path):
        path = write_eva_file(tmp_path / 'eva.safetensors')
        trunk = EVAViT(TINY_ARCH, checkpoint=path, dtype='bfloat16', img_size=48)
        stored, given, most = dict(load_eva_visual(path)), [], 0

        def make(name):
            nonlocal most
            tensor = stored[name].clone()
            given.append(weakref.ref(tensor))
            most = max(most, sum(reference() is not None for reference in given))
            return tensor

        lazy = LazyTensors({name: partial(make, name) for name in stored})
        trunk.read_pretrained = lambda checkpoint: lazy
        trunk.init_weights()
        assert most == 1 and len(given) > len(stored)
        assert trunk.dtype == 'bfloat16' and trunk(torch.randn(1, 3, 48, 48)).isfinite().all()
