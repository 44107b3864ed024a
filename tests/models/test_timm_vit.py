"""timm's transformers behind the verbs compute what timm computes."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import save_file
from torch import nn

from mmstadapter import FrameMeanViT, TimmViT, create_model, shipped
from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.testing import fill, toy_clips

TINY = dict(embed_dim=32, depth=3, num_heads=2, img_size=32, patch_size=8)
needs_timm = pytest.mark.skipif(find_spec('timm') is None, reason='timm is not installed')
# name -> model, options, tokens before the patches, whether the class token alone is read
VARIANTS = {
    'clip': ('vit_base_patch16_clip_224', {}, 1, True),
    'in21k': ('vit_base_patch16_224.augreg_in21k', {}, 1, True),
    'dinov2 with registers': ('vit_small_patch14_reg4_dinov2', {}, 5, True),
    'dinov3': ('vit_small_patch16_dinov3', {}, 5, False),
    'dinov3, class token': ('vit_small_patch16_dinov3', dict(global_pool='token'), 5, True),
    'siglip': ('vit_base_patch16_siglip_224', {}, 0, False),
    'siglip, mean': ('vit_base_patch16_siglip_gap_224', {}, 0, False),
    'siglip2': ('vit_base_patch16_siglip_224.v2_webli', {}, 0, False),
    'eva02': ('eva02_tiny_patch14_224', {}, 1, False),
    'eva02 clip': ('eva02_base_patch16_clip_224', {}, 1, True),
    'eva clip, post-norm': ('eva02_enormous_patch14_clip_224', {}, 1, True),
    'perception encoder': ('vit_pe_core_base_patch16_224', {}, 1, False),
    'mixed rotary positions': ('vit_small_patch16_rope_mixed_224', {}, 1, True),
    'dynamic size': ('vit_small_patch16_dinov3', dict(dynamic_img_size=True), 5, False),
    'deit3': ('deit3_small_patch16_224', {}, 1, True),
    'parallel': ('vit_small_patch16_18x2_224', {}, 1, True),
    'post-norm': ('vit_base_patch16_rpn_224', {}, 0, False),
    'mean, norm before': ('vit_base_patch16_gap_224', dict(fc_norm=False), 0, False),
    'no pooling': ('vit_base_patch16_224', dict(global_pool=''), 1, True),
}


def build(variant: str, **changes) -> TimmViT:
    model, options, *_ = VARIANTS[variant]
    return TimmViT(model, TINY | options, **changes)


def frames(size: int = 32):
    return toy_clips(size=size)[:, :, 0]


@needs_timm
@pytest.mark.parametrize('variant', VARIANTS)
class TestEqualsTimm:
    def test_in_every_token(self, variant):
        trunk = fill(build(variant))
        expected = trunk.vit.forward_features(frames())
        torch.testing.assert_close(trunk.vit.norm(trunk(frames())), expected)

    def test_in_the_feature_of_one_image(self, variant):
        trunk = fill(build(variant))
        expected = trunk.vit.forward_head(trunk.vit.forward_features(frames()), pre_logits=True)
        expected = expected[:, 0] if expected.dim() == 3 else expected
        torch.testing.assert_close(trunk.final_norm(trunk.readout(trunk(frames()))), expected)

    def test_in_its_prefix_and_readout(self, variant):
        trunk = build(variant)
        _, _, prefix, reads_class_token = VARIANTS[variant]
        assert trunk.num_prefix_tokens == prefix
        assert (trunk.readout_tokens == 1) == reads_class_token


@needs_timm
def test_layer_scale_is_respected():
    trunk = fill(build('dinov2 with registers'))
    x = trunk.embed(frames())
    with torch.no_grad():
        trunk.vit.blocks[0].ls1.gamma.zero_()
    assert torch.equal(trunk.blocks[0].attend(x), x)
    eva = fill(TimmViT('vit_small_patch16_dinov3', TINY | dict(init_values=0.1)))
    x = eva.embed(frames())
    with torch.no_grad():
        eva.vit.blocks[0].gamma_2.zero_()
    assert torch.equal(eva.blocks[0].feed_forward(x), x)


@needs_timm
@pytest.mark.parametrize('variant', ['eva02', 'dinov3', 'mixed rotary positions'])
def test_rotary_positions_reach_the_attention(variant):
    trunk = fill(build(variant))
    x = trunk.embed(frames())
    attended = trunk.blocks[0].attend(x)
    trunk.vit.rope = None
    assert not torch.allclose(trunk.blocks[0].attend(x), attended, atol=1e-4)


@needs_timm
def test_names_are_those_of_timm():
    trunk = build('eva02')
    assert set(trunk.state_dict()) == {f'vit.{n}' for n in trunk.vit.state_dict()}
    assert set(trunk.frozen_names()) == set(trunk.state_dict())


@needs_timm
@pytest.mark.parametrize('variant', ['clip', 'siglip', 'eva02', 'dinov3'])
def test_positions_are_resampled_as_timm_does(variant, tmp_path):
    small = fill(build(variant))
    tensors = {n: t.contiguous() for n, t in small.vit.state_dict().items()}
    save_file(tensors | {'head.weight': torch.ones(2, 32)}, tmp_path / 'model.safetensors')
    model, options, *_ = VARIANTS[variant]
    options = TINY | options | dict(img_size=(48, 64))
    trunk = TimmViT(model, options, checkpoint=str(tmp_path / 'model.safetensors'))
    trunk.init_weights()
    small.vit.set_input_size(img_size=(48, 64))
    images = torch.randn(2, 3, 48, 64)
    torch.testing.assert_close(trunk.vit.norm(trunk(images)), small.vit.forward_features(images))


@needs_timm
def test_dinov2_files_of_the_authors_are_read(tmp_path):
    trunk = fill(build('dinov2 with registers'))
    tensors = {n: t.contiguous() for n, t in trunk.vit.state_dict().items()}
    table, cls = tensors.pop('pos_embed'), tensors['cls_token']
    original = tensors | {  # their names: registers apart, a mask token, a row for the class
        'register_tokens': tensors['reg_token'],
        'mask_token': torch.zeros(1, 32),
        'pos_embed': torch.cat([torch.zeros_like(cls), table], dim=1),
    }
    del original['reg_token']
    torch.save(original, tmp_path / 'dinov2.pth')
    again = build('dinov2 with registers', checkpoint=str(tmp_path / 'dinov2.pth'))
    again.init_weights()
    torch.testing.assert_close(again(frames()), trunk(frames()))


@needs_timm
def test_attention_pooling_may_be_left_out_of_a_file(tmp_path):
    model = fill(TimmViT('vit_base_patch16_siglip_224', TINY))
    tensors = {n: t.contiguous() for n, t in model.vit.state_dict().items()}
    save_file(tensors, tmp_path / 'siglip.safetensors')
    options = TINY | dict(global_pool='avg', fc_norm=False)
    mean = TimmViT(
        'vit_base_patch16_siglip_224', options, checkpoint=str(tmp_path / 'siglip.safetensors')
    )
    mean.init_weights()
    x = mean(frames())
    expected = mean.vit.norm(x).mean(dim=1)
    torch.testing.assert_close(mean.final_norm(mean.readout(x)), expected)


@needs_timm
def test_other_peoples_norms_are_norms():
    trunk = TimmViT('vit_base_patch16_224', TINY | dict(norm_layer='rmsnorm'), tune='norm')
    tuned = [n for n, p in trunk.named_parameters() if p.requires_grad]
    assert len(tuned) == 2 * 3 + 1 and not [n for n in tuned if 'norm' not in n]


@needs_timm
@pytest.mark.parametrize(
    ('model', 'options', 'sentence'),
    [
        ('vit_bse_patch16_224', {}, 'near: vit_base_patch16_224'),
        ('vit_base_patch16_224', dict(num_classes=5), 'the head is VideoHead'),
        ('vit_base_patch16_224', dict(pretrained=True), "as the trunk's checkpoint"),
        ('vit_base_patch16_224', dict(patch_drop_rate=0.5), 'every patch of the grid'),
        ('resnet18', {}, 'ResNet of NoneTypes; a trunk must be'),
        ('vit_base_patch16_xp_224', TINY, 'attention and MLP can be told apart'),
        ('deit_tiny_distilled_patch16_224', TINY, 'VisionTransformerDistilled'),
    ],
)
def test_what_is_no_trunk_is_refused(model, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        TimmViT(model, options)


# name -> model and width of its joint space; None: the feature itself
JOINT = {
    'siglip': ('vit_base_patch16_siglip_224.v2_webli', None),
    'pe': ('vit_pe_core_base_patch16_224.fb', 1024),
    'eva02 clip': ('eva02_base_patch16_clip_224.merged2b', 512),
    'clip': ('vit_base_patch16_clip_224.openai', 512),
}


@needs_timm
@pytest.mark.parametrize('name', JOINT)
class TestJointSpace:
    """For retrieval a frame's vector is what timm's model itself gives."""

    def build(self, name: str, **changes) -> TimmViT:
        return fill(TimmViT(JOINT[name][0], TINY, with_proj=True, **changes))

    def test_is_that_of_timm(self, name):
        trunk, width = self.build(name), JOINT[name][1] or 32
        assert trunk.joint_dims == width
        found = FrameMeanViT(trunk, output='frames')(frames()[:, :, None])
        assert found.shape == (2, 1, width)
        torch.testing.assert_close(found[:, 0], trunk.vit(frames()))

    def test_is_tuned_with_what_follows_the_blocks(self, name):
        trunk = self.build(name, tune='after_blocks')
        tuned = {n for n, p in trunk.named_parameters() if p.requires_grad}
        heads = {'vit.head.weight', 'vit.head.bias'}
        assert tuned >= (set() if JOINT[name][1] is None else heads)
        assert not any('blocks' in n or 'embed' in n for n in tuned)

    def test_is_in_the_file_and_not_in_the_fingerprint(self, name, tmp_path):
        tensors = {n: t.contiguous() for n, t in self.build(name).vit.state_dict().items()}
        save_file(tensors, tmp_path / 'model.safetensors')
        given = dict(options=TINY, checkpoint=str(tmp_path / 'model.safetensors'))
        whole, bare = (
            TimmViT(JOINT[name][0], with_proj=True, **given),
            TimmViT(JOINT[name][0], **given),
        )
        for trunk in (whole, bare):
            trunk.init_weights()
        torch.testing.assert_close(dict(whole.vit.state_dict()), tensors)
        assert torch.equal(whole.fingerprint, bare.fingerprint)
        with pytest.raises(TypeError, match='no projection into a joint image-text space'):
            bare.joint_dims  # noqa: B018


@needs_timm
def test_a_head_trained_for_classes_is_no_joint_space():
    for model, classes in (
        ('vit_base_patch16_224.augreg_in1k', 1000),
        ('vit_base_patch16_224.augreg_in21k', 21843),
    ):
        with pytest.raises(ValueError, match=f'the head of {model} has {classes} classes'):
            TimmViT(model, TINY, with_proj=True)


@needs_timm
def test_random_rotary_positions_are_refused_where_they_would_be_drawn():
    options = TINY | dict(rope_shift_coords=0.1)
    TimmViT('vit_small_patch16_dinov3', options)
    with pytest.raises(ValueError, match='moves its rotary positions at random'):
        TimmViT('vit_small_patch16_dinov3', options, tune='all')


BASES = sorted((shipped.root() / 'configs/_base_/trunks').glob('timm_*-p[0-9]*.py'))  # not tiny


@needs_timm
@pytest.mark.parametrize('path', BASES, ids=lambda path: path.stem)
def test_every_shipped_base_builds_with_the_statistics_of_its_model(path: Path):
    base = Config.fromfile(path)
    with torch.device('meta'):
        trunk = MODELS.build(base.trunk)
    cfg = trunk.vit.pretrained_cfg
    assert trunk.img_size == (224, 224) and trunk.embed_dims == 768
    for name in ('mean', 'std'):
        expected = [255 * value for value in cfg[name]]
        assert base.data_preprocessor[name] == pytest.approx(expected, abs=1e-3)


def test_there_are_shipped_bases():
    assert len(BASES) == 4


def test_without_timm_building_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'timm', None)
    with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[timm\]'"):
        MODELS.build(dict(type='mmstadapter.TimmViT', model='vit_base_patch16_224'))


def test_a_wrapped_block_is_no_second_name_for_its_weights():
    pytest.importorskip('timm', reason='timm is not installed')
    trunk = build('clip')
    assert not any(isinstance(block, nn.Module) for block in trunk.blocks)
    assert len(list(trunk.blocks[0].parameters())) == 12


@needs_timm
class TestBuiltModel:
    """A model that timm has built is a trunk with its weights."""

    def model(self, **options) -> nn.Module:
        import timm

        return timm.create_model('vit_base_patch16_clip_224', num_classes=5, **TINY, **options)

    def test_backbones_take_it_as_it_is(self):
        vit = fill(self.model())
        expected = vit.forward_head(vit.forward_features(frames()), pre_logits=True)
        trunk = FrameMeanViT(vit).trunk
        assert trunk.vit is vit and not any(p.requires_grad for p in trunk.parameters())
        assert not any('head' in name for name in trunk.state_dict())
        found = FrameMeanViT(trunk)(frames()[:, :, None])
        torch.testing.assert_close(found, expected)

    def test_a_recipe_takes_it_with_the_classifier_it_asks_for(self):
        model = create_model('stadapter_vit-b_k400', num_classes=3, trunk=self.model())
        assert model(toy_clips()).shape == (2, 3) and model.transform.size == (32, 32)

    def test_it_may_be_tuned(self):
        trunk = TimmViT(self.model(), tune='last_1')
        assert {n.split('.')[2] for n, p in trunk.named_parameters() if p.requires_grad} >= {'2'}

    def test_a_checkpoint_of_it_is_whole(self):
        backbone = FrameMeanViT(self.model())
        assert drop_frozen(backbone, backbone.state_dict()).keys() == backbone.state_dict().keys()

    def test_what_cannot_be_a_trunk_is_refused_by_name(self):
        import timm

        with pytest.raises(ValueError, match='drops patches at random'):
            TimmViT(self.model(patch_drop_rate=0.5))
        with pytest.raises(ValueError, match='resnet18 is a ResNet'):
            FrameMeanViT(timm.create_model('resnet18'))
