"""MMPretrain's transformer behind the verbs computes what MMPretrain computes."""

from importlib.util import find_spec

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmstadapter import MMPretrainViT, shipped
from mmstadapter.models.trunks.mmpretrain_vit import pick_backbone
from mmstadapter.testing import fill, toy_clips

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
TINY = dict(arch=ARCH, img_size=32, patch_size=8)
needs_mmpretrain = pytest.mark.skipif(
    find_spec('mmpretrain') is None, reason='mmpretrain is not installed'
)
VARIANTS = {
    'in21k': {},
    'clip': dict(pre_norm=True, layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU'))),
    'dinov2': dict(layer_scale_init_value=0.1, layer_cfgs=dict(ffn_type='swiglu_fused')),
    'layer scale': dict(layer_scale_init_value=0.1, qkv_bias=False),
    'no final norm': dict(final_norm=False),
    'patches': dict(out_type='avg_featmap'),
    'no class token': dict(out_type='avg_featmap', with_cls_token=False),
}


def frames(size: int = 32):
    return toy_clips(size=size)[:, :, 0]


def theirs(trunk: MMPretrainViT, **changes) -> nn.Module:
    """MMPretrain's own model with the same weights, as MMPretrain builds it."""
    config = dict(type='mmpretrain.VisionTransformer') | TINY | changes
    model = MODELS.build(config)
    model.eval()  # returns None
    missing, surplus = model.load_state_dict(trunk.vit.state_dict(), strict=False)
    assert all('ln2' in name for name in missing + surplus)
    return model


@needs_mmpretrain
@pytest.mark.parametrize('variant', VARIANTS.values(), ids=VARIANTS)
class TestEqualsMMPretrain:
    def test_in_every_token(self, variant):
        trunk = fill(MMPretrainViT(TINY | variant))
        (expected,) = theirs(trunk, **variant | dict(out_type='raw'))(frames())
        torch.testing.assert_close(trunk._norm('ln1', trunk(frames())), expected)

    def test_in_the_feature_of_one_image(self, variant):
        trunk = fill(MMPretrainViT(TINY | variant))
        (expected,) = theirs(trunk, **variant)(frames())
        torch.testing.assert_close(trunk.final_norm(trunk.readout(trunk(frames()))), expected)


@needs_mmpretrain
def test_names_are_those_of_mmpretrain():
    trunk = MMPretrainViT(TINY)
    assert set(trunk.state_dict()) == {f'vit.{n}' for n in theirs(trunk).state_dict()}
    assert 'vit.layers.0.attn.qkv.weight' in trunk.state_dict()


@needs_mmpretrain
def test_positions_are_resampled_as_mmpretrain_does(tmp_path):
    trunk = fill(MMPretrainViT(TINY))
    tensors = {f'backbone.{n}': t for n, t in trunk.vit.state_dict().items()}
    torch.save(dict(state_dict=tensors), tmp_path / 'vit.pth')
    wide = MMPretrainViT(TINY | dict(img_size=(48, 64)), checkpoint=str(tmp_path / 'vit.pth'))
    wide.init_weights()
    assert wide.grid == (6, 8)
    model = theirs(trunk, img_size=(48, 64))
    images = torch.randn(2, 3, 48, 64)
    torch.testing.assert_close(wide.final_norm(wide.readout(wide(images))), model(images)[0])


@needs_mmpretrain
def test_a_class_token_is_dropped_where_the_model_has_none(tmp_path):
    torch.save(fill(MMPretrainViT(TINY)).vit.state_dict(), tmp_path / 'vit.pth')
    vit = TINY | dict(out_type='featmap', with_cls_token=False)
    trunk = MMPretrainViT(vit, checkpoint=str(tmp_path / 'vit.pth'))
    trunk.init_weights()
    assert trunk(frames()).shape == (2, 16, 32)


@needs_mmpretrain
def test_a_random_trunk_starts_as_mmpretrain_does():
    trunk = MMPretrainViT(TINY)
    trunk.init_weights()
    assert 0.01 < trunk.vit.pos_embed.std() < 0.03


@needs_mmpretrain
def test_the_config_given_is_not_changed():
    config = Config(dict(vit=TINY | dict(type='mmpretrain.VisionTransformer')))
    before = config.to_dict()
    MODELS.build(dict(type='mmstadapter.MMPretrainViT', **config))
    assert config.to_dict() == before


@needs_mmpretrain
@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (dict(type='BEiTViT'), 'other models of MMPretrain'),
        (dict(frozen_stages=3), "use the trunk's tune"),
        (dict(out_indices=[1]), 'the last layer is read'),
        (dict(out_type='raw'), 'must be one of cls_token'),
        (dict(init_cfg=dict(type='Pretrained', checkpoint='x')), "the trunk's checkpoint"),
    ],
)
def test_what_the_trunk_decides_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        MMPretrainViT(TINY | change)


@needs_mmpretrain
def test_the_shipped_base_is_the_vit_of_the_paper():
    base = Config.fromfile(shipped.root() / 'configs/_base_/trunks/in21k_vit-b-p16.py')
    with torch.device('meta'):
        trunk = MODELS.build(base.trunk)
    assert (trunk.embed_dims, len(trunk.blocks), trunk.grid) == (768, 12, (14, 14))
    assert sum(p.numel() for p in trunk.parameters()) == 85_798_656
    assert base.data_preprocessor.mean == [127.5] * 3


def test_a_file_is_read_whole_or_refused_by_name():
    tensors = {'backbone.ln1.weight': torch.ones(2), 'head.layers.head.bias': torch.ones(2)}
    assert pick_backbone(tensors, 'a.pth').keys() == {'vit.ln1.weight'}
    assert pick_backbone({'ln1.weight': torch.ones(2)}, 'a.pth').keys() == {'vit.ln1.weight'}
    with pytest.raises(KeyError, match="no rule for 'text.weight'.*Known prefixes: backbone, head"):
        pick_backbone(tensors | {'text.weight': torch.ones(2)}, 'a.pth')


def test_without_mmpretrain_building_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'mmpretrain.models.backbones', None)
    with pytest.raises(ImportError, match=r"pip install 'mmstadapter\[full\]'"):
        MODELS.build(dict(type='mmstadapter.MMPretrainViT', vit=dict(TINY)))
