"""LoRA and DoRA in trunks and text towers: trained beside ours, saved under our names."""

import sys
from functools import partial

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from torch import nn

from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.models.lora import take_lengths
from mmstadapter.testing import (
    TINY_ARCH,
    fill,
    tiny_retriever,
    tiny_text,
    tiny_trunk,
    toy_clips,
    write_clip_file,
    write_eva_file,
)

pytest.importorskip('peft', reason='peft is not installed')
LORA = dict(r=2, alpha=4)
FORMS = {'lora': LORA, 'dora': LORA | dict(dora=True)}
eva = dict(type='mmstadapter.EVAViT', arch=dict(TINY_ARCH))
TRUNKS = {'clip': tiny_trunk, 'eva': lambda **changes: eva | changes}


def adapted(trunk: dict) -> nn.Module:
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=8)
    return nn.ModuleDict(dict(backbone=MODELS.build(backbone)))


def trained(model: nn.Module) -> set[str]:
    return {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('trunk', TRUNKS)
class TestInATrunk:
    def test_it_changes_nothing_at_first(self, trunk, form):
        torch.manual_seed(0)
        plain = adapted(TRUNKS[trunk]())
        low_rank = adapted(TRUNKS[trunk](lora=FORMS[form]))
        low_rank.load_state_dict(plain.state_dict(), strict=False)
        if form == 'dora':
            take_lengths(low_rank)
        clips = toy_clips()
        expected = plain.eval()['backbone'](clips)
        torch.testing.assert_close(low_rank.eval()['backbone'](clips), expected)

    def test_it_and_the_adapters_are_trained_and_nothing_else(self, trunk, form):
        model = fill(adapted(TRUNKS[trunk](lora=FORMS[form])))
        model['backbone'](toy_clips()).square().sum().backward()
        with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
        assert with_gradient == trained(model)
        low_rank = {n for n in trained(model) if '.lora_' in n}
        layers = 4 * TINY_ARCH['num_layers']
        assert len(low_rank) == layers * (3 if form == 'dora' else 2)
        assert trained(model) - low_rank == trained(adapted(TRUNKS[trunk]()))
        assert all(model.get_parameter(n).grad.any() for n in low_rank)

    def test_names_of_the_trunk_stay(self, trunk, form):
        names = adapted(TRUNKS[trunk](lora=FORMS[form])).state_dict()
        own = [n for n in names if '.lora_' not in n]
        assert sorted(own) == sorted(adapted(TRUNKS[trunk]()).state_dict())

    def test_a_tuned_checkpoint_goes_onto_the_pretrained_file_to_the_bit(
        self, trunk, form, tmp_path
    ):
        write = write_clip_file if trunk == 'clip' else write_eva_file
        path = write(tmp_path / 'trunk.safetensors', seed=5)
        config = TRUNKS[trunk](checkpoint=path, lora=FORMS[form])
        model = adapted(config)
        model['backbone'].init_weights()
        plain = adapted(TRUNKS[trunk](checkpoint=path))
        plain['backbone'].init_weights()
        clips = toy_clips()
        torch.testing.assert_close(model['backbone'](clips), plain['backbone'](clips))
        with torch.no_grad():
            for name in trained(model):
                model.get_parameter(name).add_(0.1 * torch.randn_like(model.get_parameter(name)))
        kept = drop_frozen(model, model.state_dict())
        assert len(kept) == len(trained(model)) + 1  # and the fingerprint
        again = adapted(config)
        again.load_state_dict(kept, strict=True)
        assert torch.equal(model.eval()['backbone'](clips), again.eval()['backbone'](clips))
        assert not torch.allclose(again['backbone'](clips), plain.eval()['backbone'](clips))


close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)
EVA_E = 'eva02_enormous_patch14_clip_224'
TINY_TIMM = dict(embed_dim=32, depth=3, num_heads=2, img_size=32, patch_size=8)
TINY_MMPRETRAIN = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
BY_NAME = {  # library, trunk
    'clip': ('peft', tiny_trunk()),
    'eva': ('peft', eva),
    'timm, fused': (
        'timm',
        dict(type='mmstadapter.TimmViT', model='vit_base_patch16_clip_224', options=TINY_TIMM),
    ),
    'timm, fused without biases of its own': (
        'timm',
        dict(
            type='mmstadapter.TimmViT', model='eva02_enormous_patch14_clip_224', options=TINY_TIMM
        ),
    ),
    'timm, apart': (
        'timm',
        dict(type='mmstadapter.TimmViT', model='eva02_base_patch16_clip_224', options=TINY_TIMM),
    ),
    'mmpretrain': (
        'mmpretrain',
        dict(
            type='mmstadapter.MMPretrainViT',
            vit=dict(arch=TINY_MMPRETRAIN, img_size=32, patch_size=8),
        ),
    ),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('trunk', BY_NAME)
class TestOnQueriesAndValuesAlone:
    """The layers that the LoRA paper adapts, one layer with the keys in most trunks."""

    def build(self, trunk: str, **lora) -> nn.Module:
        library, config = BY_NAME[trunk]
        pytest.importorskip(library, reason=f'{library} is not installed')
        model = MODELS.build(config | dict(lora=LORA | lora))
        return fill(model).requires_grad_(False).eval()

    def test_what_is_added_is_two_thirds_of_what_all_three_have(self, trunk, form):
        names = self.build(trunk, targets=('q', 'v'), **FORMS[form]).state_dict()
        layers = {n.partition('.lora_')[0] for n in names if '.lora_' in n}
        assert len(layers) == 2 * TINY_ARCH['num_layers']
        last = {name.rpartition('.')[2] for name in layers}
        assert last == ({'q_proj', 'v_proj'} if trunk == 'timm, apart' else {'q', 'v'})
        b = [t for n, t in names.items() if '.lora_B.' in n]
        assert {tuple(t.shape) for t in b} == {(32, 2)}
        assert not any('base_layer' in name for name in names)

    def test_the_values_of_others_stay(self, trunk, form):
        """A trunk with q and v is the same one without, where B is zero but for q's."""
        model = self.build(trunk, targets=('q_proj', 'v_proj'), **FORMS[form])
        plain = MODELS.build(BY_NAME[trunk][1]).eval()
        plain.load_state_dict({n: t for n, t in model.state_dict().items() if '.lora_' not in n})
        frames = toy_clips()[:, :, 0]
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if '.lora_B.' in name:
                    tensor.zero_()
            take_lengths(model)
            torch.testing.assert_close(model(frames), plain(frames))
            layer = next(n for n, _ in model.named_parameters() if '.lora_B.' in n)
            model.get_parameter(layer).fill_(0.1)
        assert not torch.allclose(model(frames), plain(frames))

    @pytest.mark.parametrize('safe', [False, True], ids=['', 'safe'])
    def test_peft_merges_it_and_takes_it_out_again(self, trunk, form, safe):
        from peft.tuners.tuners_utils import BaseTunerLayer

        model = self.build(trunk, targets=('q', 'v'), **FORMS[form])
        frames = toy_clips()[:, :, 0]
        expected = model(frames)
        for layer in (m for m in model.modules() if isinstance(m, BaseTunerLayer)):
            layer.merge(safe_merge=safe)
        close(model(frames), expected)
        plain = MODELS.build(BY_NAME[trunk][1]).eval()
        plain.load_state_dict({n: t for n, t in model.state_dict().items() if '.lora_' not in n})
        close(plain(frames), expected)
        for layer in (m for m in model.modules() if isinstance(m, BaseTunerLayer)):
            layer.unmerge()
        close(model(frames), expected)


def test_what_tune_trains_stays_trained():
    trunk = MODELS.build(tiny_trunk(tune='norm', lora=LORA))
    norms = {n for n in trained(trunk) if '.lora_' not in n}
    assert norms == trained(MODELS.build(tiny_trunk(tune='norm')))


def test_it_is_in_float32_beside_weights_in_16_bit():
    trunk = fill(MODELS.build(tiny_trunk(dtype='float16', lora=LORA)))
    dtypes = {p.dtype for p in trunk.parameters() if p.requires_grad}
    assert dtypes == {torch.float32}
    assert trunk(toy_clips()[:, :, 0]).dtype == torch.float32


def test_its_dropout_is_active_in_training_alone():
    trunk = fill(MODELS.build(tiny_trunk(lora=LORA | dict(dropout=0.5))))
    frames = toy_clips()[:, :, 0]
    a, b = (trunk.train()(frames) for _ in range(2))
    assert not torch.equal(a, b)
    assert torch.equal(trunk.eval()(frames), trunk(frames))
    assert not any(m.training for m in trunk.train().modules() if isinstance(m, nn.LayerNorm))


def test_targets_choose_layers_by_the_end_of_their_names():
    trunk = MODELS.build(tiny_trunk(lora=LORA | dict(targets='out_proj')))
    assert len(trained(trunk)) == 2 * TINY_ARCH['num_layers']
    assert all('out_proj' in name for name in trained(trunk))


@pytest.mark.parametrize('form', FORMS)
def test_a_retriever_trains_it_in_both_towers(form):
    config = tiny_retriever(text_tower=tiny_text(tune='none', lora=FORMS[form]))
    config['backbone']['trunk']['lora'] = FORMS[form]
    model = fill(MODELS.build(config))
    text = model.encode_captions(['a cat jumps', 'a dog falls'])
    video = model.encode_videos(toy_clips())
    features = [t for t in (*text.values(), *video.values()) if t.requires_grad]
    sum(t.float().square().sum() for t in features).backward()
    for part in (model.text_tower, model.backbone.trunk):
        assert all(part.get_parameter(name).grad.any() for name in trained(part))
        assert all('.lora_' in name for name in trained(part))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(rank=4), 'lora takes r, alpha, dropout, targets, dora, got rank'),
        (dict(r=0), 'lora.r must be a whole number from 1, got 0'),
        (dict(dropout=1.0), r'lora.dropout must be in \[0, 1\), got 1.0'),
        (dict(targets=('fc9',)), 'among c_fc, c_proj, in_proj, k, out_proj, q, v, got fc9'),
        (dict(targets=()), 'among c_fc, .*, got none'),
        (dict(targets=('q', 'in_proj')), 'got both in_proj and q, which is a third of it'),
    ],
    ids=str,
)
def test_wrong_options_are_refused_with_the_choices(options, message):
    with pytest.raises(ValueError, match=f'CLIPViT: .*{message}'):
        MODELS.build(tiny_trunk(lora=options))


def test_lora_put_in_by_hand_before_the_file_is_read_does_not_break_reading(tmp_path):
    import peft

    path = write_clip_file(tmp_path / 'clip.safetensors', seed=5)
    trunk, plain = (MODELS.build(tiny_trunk(checkpoint=path)) for _ in range(2))
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=['in_proj', 'c_fc']), trunk)
    trunk.init_weights(), plain.init_weights()
    frames = toy_clips()[:, :, 0]
    torch.testing.assert_close(trunk(frames), plain(frames))


def test_without_peft_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[peft\]', or leave out lora"):
        MODELS.build(tiny_trunk(lora=LORA))


def test_a_checkpoint_of_the_runner_has_the_same_names_and_loads_again():
    model, again = (adapted(tiny_trunk(lora=LORA)) for _ in range(2))
    fill(model)
    state = get_state_dict(model)  # MMEngine's own, for checkpoints
    assert state.keys() == model.state_dict().keys()
    load_state_dict(again, state, strict=True)
    assert torch.equal(model['backbone'](toy_clips()), again['backbone'](toy_clips()))
