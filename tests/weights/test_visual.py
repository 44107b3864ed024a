"""Any CLIP file gives the same image tower; files that would give a wrong one are refused."""

import json

import pytest
import torch
from torch.testing import assert_close

from mmstadapter.weights import fingerprint, from_ours, load_visual

from .conftest import hf, save


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth', '.pt'])
def test_any_clip_file_in_any_container_gives_the_tower(clip_file, trunk, tmp_path, suffix):
    ours = load_visual(save(clip_file[1], tmp_path / f'clip{suffix}'))
    assert_close(ours, {name: trunk[name] for name in ours}, rtol=0, atol=0)
    assert torch.equal(fingerprint(ours), fingerprint(trunk))


def test_what_is_ignored_is_logged_by_pattern_and_count(clip_file, tmp_path, logged):
    source, theirs = clip_file
    load_visual(save(theirs, tmp_path / 'clip.safetensors'))
    line = next(text for _, text in logged if 'image tower' in text)
    assert f'named as in {source}' in line
    if 'transformer.resblocks.0.ln_1.weight' in theirs and 'logit_scale' in theirs:
        assert 'transformer.resblocks.* (2)' in line and 'input_resolution (1)' in line


def test_a_foreign_file_is_refused_with_every_sources_reason(tmp_path):
    tensors = {'visual.trunk.blocks.0.norm1.weight': torch.ones(2), 'logit_scale': torch.ones(1)}
    with pytest.raises(KeyError) as error:
        load_visual(save(tensors, tmp_path / 'timm.safetensors'))
    for source in ('openai-clip', 'open_clip', 'hf-clip'):
        assert f"{source}: no rule for 'visual.trunk.blocks.0.norm1.weight'" in str(error.value)


def test_a_text_tower_alone_is_refused(tmp_path):
    tensors = {'text_model.final_layer_norm.weight': torch.ones(2), 'logit_scale': torch.ones(1)}
    with pytest.raises(KeyError, match='none of the known CLIP files'):
        load_visual(save(tensors, tmp_path / 'text.safetensors'))


@pytest.mark.parametrize(
    ('name', 'config', 'good'),
    [
        ('config.json', dict(vision_config=dict(hidden_act='gelu')), False),
        ('config.json', dict(hidden_act='gelu'), False),
        ('config.json', dict(vision_config=dict(hidden_act='quick_gelu')), True),
        ('config.json', dict(vision_config={}), True),
        ('open_clip_config.json', dict(model_cfg={}), False),
        ('open_clip_config.json', dict(model_cfg=dict(quick_gelu=True)), True),
    ],
)
def test_a_model_of_another_activation_is_refused(trunk, tmp_path, name, config, good):
    source = 'hf-clip' if name == 'config.json' else 'openai-clip'
    path = save(from_ours(source, trunk), tmp_path / 'clip.safetensors')
    (tmp_path / name).write_text(json.dumps(config))
    if good:
        load_visual(path)
    else:
        with pytest.raises(ValueError, match="activation 'gelu'.*quick_gelu"):
            load_visual(path)
        assert load_visual(path, activation='gelu')


@pytest.mark.parametrize('content', ['', '{"vision_config"', '[1]', '3', '{"vision_config": null}'])
def test_a_config_that_is_none_is_refused(trunk, tmp_path, content):
    (tmp_path / 'config.json').write_text(content)
    path = save(hf(trunk), tmp_path / 'clip.safetensors')
    with pytest.raises(ValueError, match=r'config\.json should say .* no config of a CLIP model'):
        load_visual(path)


def test_a_file_that_does_not_tell_its_activation_is_warned_about(clip_file, tmp_path, logged):
    source, theirs = clip_file
    load_visual(save(theirs, tmp_path / 'clip.safetensors'))
    warned = any(level == 'WARNING' and 'taken for quick_gelu' in text for level, text in logged)
    assert warned == (source != 'openai-clip')


def test_a_quantised_file_is_refused(trunk, tmp_path):
    trunk['proj'] = (100 * trunk['proj']).to(torch.int8)
    tensors = load_visual(save(trunk, tmp_path / 'clip.safetensors'))
    assert tensors['conv1.weight'].dtype == torch.float32
    with pytest.raises(ValueError, match=r'clip\.safetensors: proj must hold float.*torch\.int8'):
        tensors['proj']


class TestFingerprint:
    def test_is_32_bytes(self, trunk):
        mark = fingerprint(trunk)
        assert mark.dtype == torch.uint8 and mark.shape == (32,)

    def test_is_a_fixed_function_of_the_values(self):
        """Computed with hashlib over b'a (1, 2)\\n' and the float32 values 1, 2."""
        mark = bytes(fingerprint({'a': torch.tensor([[1.0, 2.0]])}).tolist()).hex()
        assert mark == 'b0343dc1f5b435dd5dd5e0b2c8ac476f413b343e7af43a1564024389850641f7'

    def test_ignores_order_storage_type_layout_and_projection(self, trunk):
        half = {name: tensor.half() for name, tensor in reversed(trunk.items())}
        whole = {name: tensor.float() for name, tensor in half.items() if name != 'proj'}
        name = 'transformer.resblocks.0.mlp.c_fc.weight'
        whole[name] = whole[name].T.contiguous().T
        assert torch.equal(fingerprint(half), fingerprint(whole))

    @pytest.mark.parametrize('change', ['value', 'name', 'shape', 'absence'])
    def test_notices_a_change(self, trunk, change):
        before = fingerprint(trunk)
        table = trunk.pop('positional_embedding')
        if change == 'value':
            trunk['positional_embedding'] = table.clone().index_fill_(0, torch.tensor([0]), 1.0)
        elif change == 'name':
            trunk['position'] = table
        elif change == 'shape':
            trunk['positional_embedding'] = table.reshape(-1)
        assert not torch.equal(fingerprint(trunk), before)
