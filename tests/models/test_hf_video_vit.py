"""Video encoders of transformers behind the verbs compute what transformers computes."""

import json
import sys
from importlib.util import find_spec

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import save_file
from torch import nn

from mmstadapter import FrameMeanViT, HFVideoViT, ProbeViT, STAdapterViT
from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.models.trunks.video_models import MODELS_OF
from mmstadapter.testing import fill, toy_clips

needs_transformers = pytest.mark.skipif(
    find_spec('transformers') is None, reason='transformers is not installed'
)
TINY = dict(patch_size=8, embed_dims=36, num_layers=3, num_heads=2)
CLIP = dict(num_frames=4, img_size=32)
NAMES = {'vjepa2': 'VJEPA2', 'videomae': 'VideoMAE'}
# name -> model, options of its configuration
VARIANTS = {
    'vjepa2': ('vjepa2', {}),
    'videomae': ('videomae', {}),
    'videomae, norm': ('videomae', dict(use_mean_pooling=False)),
}


def config(variant: str = 'vjepa2', **changes) -> dict:
    model, options = VARIANTS[variant]
    given = dict(type='mmstadapter.HFVideoViT', model=model, arch=dict(TINY), options=options)
    return given | CLIP | changes


def build(variant: str = 'vjepa2', **changes) -> HFVideoViT:
    return fill(MODELS.build(config(variant, **changes)))


def theirs(trunk: HFVideoViT, video: torch.Tensor) -> torch.Tensor:
    """The last tokens as transformers' own forward gives them."""
    model = trunk.vit.encoder if trunk.kind.encoder else trunk.vit
    return model(video.transpose(1, 2)).last_hidden_state


def write(trunk: HFVideoViT, path, prefix: str = '', **besides) -> str:
    tensors = {prefix + n: t.detach().contiguous() for n, t in trunk.vit.state_dict().items()}
    save_file(tensors | besides, path)
    return str(path)


@needs_transformers
@pytest.mark.parametrize('variant', VARIANTS)
class TestEveryVideoEncoder:
    def test_its_tokens_are_those_of_transformers(self, variant):
        trunk, video = build(variant), toy_clips()
        tokens = trunk.norm_tokens(trunk(video))
        torch.testing.assert_close(tokens, theirs(trunk, video))
        assert tokens.shape == (2, 2 * 16, 36) and trunk.grid == (4, 4)
        feature = FrameMeanViT(trunk)(video)
        torch.testing.assert_close(feature, theirs(trunk, video).mean(dim=1))

    def test_it_is_frozen_stays_in_eval_and_tunes_what_is_asked(self, variant):
        trunk = build(variant).train()
        assert not trunk.training and not any(p.requires_grad for p in trunk.parameters())
        for tune in ('bias', 'norm', 'last_1', 'all'):
            tuned = build(variant, tune=tune)
            assert any(p.requires_grad for p in tuned.parameters()) and tuned.training
            FrameMeanViT(tuned)(toy_clips()).sum().backward()
            missing = [n for n, p in tuned.named_parameters() if p.requires_grad and p.grad is None]
            assert not missing

    def test_seams_change_their_branches(self, variant):
        trunk = build(variant)
        block, x = trunk.blocks[0], trunk.embed(toy_clips())
        double = lambda y: 2 * y  # noqa: E731
        torch.testing.assert_close(block.attend(x, post=double) - x, 2 * (block.attend(x) - x))
        fed = block.feed_forward(x, post=double) - x
        torch.testing.assert_close(fed, 2 * (block.feed_forward(x) - x))
        torch.testing.assert_close(block(x, 3), block(x)[:, :3])
        halves = dict(pre=lambda y: 0 * y)
        assert not torch.equal(block.attend(x, **halves), block.attend(x))
        with pytest.raises(TypeError, match='to take mix or bias, the attention must be a plain'):
            block.attend(x, mix=lambda q, k, v: (q, k, v))

    def test_a_tuned_checkpoint_round_trip_is_bit_equal(self, variant, tmp_path):
        path = write(build(variant), tmp_path / 'model.safetensors')
        video = toy_clips()

        def model() -> nn.ModuleDict:
            backbone = ProbeViT(config(variant, checkpoint=path), num_heads=2)
            return nn.ModuleDict(dict(backbone=backbone))

        first = model()
        first['backbone'].init_weights()
        kept = drop_frozen(first, first.state_dict())
        assert {n.split('.')[1] for n in kept} == {'probes', 'trunk'}
        assert [n for n in kept if '.trunk.' in n] == ['backbone.trunk.fingerprint']
        again = model()
        again.load_state_dict(kept, strict=True)
        assert torch.equal(again['backbone'](video), first['backbone'](video))
        kept['backbone.trunk.fingerprint'] += 1
        with pytest.raises(RuntimeError, match='trained on another trunk'):
            model().load_state_dict(kept, strict=True)

    def test_files_of_classifiers_and_of_pretraining_are_read(self, variant, tmp_path):
        trunk = build(variant)
        path = tmp_path / 'model.safetensors'
        name = VARIANTS[variant][0]
        extra = 'decoder.norm.bias' if name == 'videomae' else 'predictor.x'
        besides = {'classifier.bias': torch.ones(3), extra: torch.ones(1)}
        again = HFVideoViT(name, TINY, checkpoint=write(trunk, path, f'{name}.', **besides), **CLIP,
                           options=VARIANTS[variant][1])  # fmt: skip
        again.init_weights()
        assert torch.equal(again(toy_clips()), trunk(toy_clips()))

    def test_files_of_the_authors_are_read(self, variant, tmp_path):
        trunk = build(variant)
        tensors = trunk.kind.official.to_ours(dict(trunk.vit.state_dict()))
        assert 'blocks.2.attn.qkv.weight' in tensors
        content = {f'module.backbone.{name}': tensor for name, tensor in tensors.items()}
        torch.save(dict(target_encoder=content, epoch=3), tmp_path / 'authors.pt')
        again = MODELS.build(config(variant, checkpoint=str(tmp_path / 'authors.pt')))
        again.init_weights()
        assert torch.equal(again(toy_clips()), trunk(toy_clips()))

    @pytest.mark.parametrize('change', ['missing', 'surplus', 'shape'])
    def test_a_file_that_does_not_fit_is_refused(self, variant, change, tmp_path):
        tensors = {n: t.detach().clone() for n, t in build(variant).vit.state_dict().items()}
        name = next(iter(tensors))
        if change == 'missing':
            del tensors[name]
        elif change == 'surplus':
            tensors['encoder.layer.9.odd'] = torch.ones(1)
        else:
            tensors[name] = tensors[name][:1].clone()
        save_file(tensors, tmp_path / 'model.safetensors')
        trunk = build(variant, checkpoint=str(tmp_path / 'model.safetensors'))
        with pytest.raises(RuntimeError, match='not a file of this size|other sizes'):
            trunk.init_weights()

    def test_a_configuration_beside_the_file_must_agree(self, variant, tmp_path):
        model, options = VARIANTS[variant]
        path = write(build(variant), tmp_path / 'model.safetensors')
        stored = dict(model_type=model, num_attention_heads=2) | options
        for change, message in (
            ({}, None),
            (dict(num_attention_heads=4), r"trained with \{'num_attention_heads': 4\}"),
            (dict(hidden_act='relu'), "'hidden_act': 'relu'"),
            (dict(model_type='vivit'), 'is of a vivit'),
        ):
            (tmp_path / 'config.json').write_text(json.dumps(stored | change))
            trunk = build(variant, checkpoint=path)
            if message is None:
                trunk.init_weights()
            else:
                with pytest.raises(ValueError, match=message):
                    trunk.init_weights()

    def test_frames_and_sizes_it_cannot_take_are_refused(self, variant):
        trunk = build(variant)
        fixed = trunk.kind.fixed
        needed = '4 frames' if fixed else 'a multiple of 2 frames'
        with pytest.raises(ValueError, match=f'must have {needed}'):
            trunk.embed(toy_clips(num_frames=3))
        with pytest.raises(ValueError, match=r'must be \(32, 32\) pixels'):
            trunk.embed(toy_clips(size=40))
        if not fixed:
            assert trunk.embed(toy_clips(num_frames=6)).shape == (2, 48, 36)

    def test_it_may_be_stored_in_16_bit(self, variant):
        half = build(variant, dtype='bfloat16')
        assert next(half.parameters()).dtype == torch.bfloat16
        torch.testing.assert_close(
            half.norm_tokens(half(toy_clips())),
            (lambda t: t.norm_tokens(t(toy_clips())))(build(variant)),
            atol=0.1,
            rtol=0.1,
        )

    def test_clips_may_pass_in_any_portions(self, variant):
        trunk, video = build(variant), toy_clips(batch=3)
        together = fill(ProbeViT(trunk, num_heads=2, frames_per_pass=None))(video)
        for portion in (1, 4, 9):
            apart = fill(ProbeViT(trunk, num_heads=2, frames_per_pass=portion))(video)
            fill(trunk)
            torch.testing.assert_close(apart, together)

    def test_low_rank_maps_stand_beside_its_layers(self, variant):
        pytest.importorskip('peft')
        trunk = build(variant, lora=dict(r=2))
        FrameMeanViT(trunk)(toy_clips()).sum().backward()
        tuned = [n for n, p in trunk.named_parameters() if p.requires_grad]
        assert len(tuned) == 3 * 6 * 2 and all('lora' in n for n in tuned)
        assert not any('lora' in n for n in trunk.frozen_names())

    @pytest.mark.slow
    def test_it_is_one_graph_under_a_probe(self, variant):
        model = ProbeViT(build(variant), num_heads=2, depth=2)
        expected = model(toy_clips())
        model.compile(fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(model(toy_clips()), expected)


@needs_transformers
@pytest.mark.parametrize(('model', 'qkv_biases'), [('vjepa2', 3), ('videomae', 2)])
@pytest.mark.slow
def test_a_vit_l_has_its_parameters_and_nothing_besides(model, qkv_biases):
    with torch.device('meta'):
        trunk = HFVideoViT(model, 'vit-l-p16', options=dict(VARIANTS['videomae, norm'][1])
                           if model == 'videomae' else None)  # fmt: skip
    d, tubelet = 1024, 3 * 2 * 16 * 16
    block = 12 * d**2 + (1 + qkv_biases + 4 + 1 + 4) * d  # maps, their biases, norms
    assert sum(p.numel() for p in trunk.parameters()) == 24 * block + (tubelet + 1) * d + 2 * d


@needs_transformers
def test_methods_for_images_refuse_a_video_encoder():
    with pytest.raises(TypeError, match='STAdapterViT: trunk must be an image encoder, got HFVid'):
        STAdapterViT(config())


@needs_transformers
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(model='vivit'), "model must be one of vjepa2, videomae, got 'vivit'"),
        (dict(arch='vit-x'), "unknown arch 'vit-x'"),
        (dict(options=dict(depth=3)), 'fields of VJEPA2Config other than the sizes.*got depth'),
        (dict(options=dict(hidden_size=8)), 'arguments of their own; got hidden_size'),
    ],
    ids=str,
)
def test_what_it_does_not_know_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config() | changes)


def test_without_transformers_it_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[transformers\]'"):
        HFVideoViT(arch=TINY, **CLIP)


def test_every_model_has_a_table_of_the_authors_names():
    assert MODELS_OF.keys() == NAMES.keys()
    for name, kind in MODELS_OF.items():
        parts = [rule.theirs for rule in kind.official.rules]
        assert kind.official.name == name and len(parts) == len(set(parts))
