"""Any CLIP file gives the same text tower; files that would give a wrong one are refused."""

import json

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mmstadapter import CLIPText, EVAText
from mmstadapter.weights import (
    SOURCES,
    from_ours,
    load_logit_scale,
    load_text,
    load_visual,
    to_ours,
)

from .conftest import block_shapes, save

D, E, LAYERS, WORDS, LENGTH = 8, 4, 11, 9, 7  # eleven blocks, so that numbers have two digits
ARCH = dict(embed_dims=D, num_layers=LAYERS, num_heads=2, output_dims=E)
ARCH |= dict(vocab_size=WORDS, context_length=LENGTH)


@pytest.fixture
def tower() -> dict[str, Tensor]:
    """A tiny text tower under our names, written out by hand."""
    torch.manual_seed(0)
    tensors = {
        'positional_embedding': torch.randn(LENGTH, D),
        'token_embedding.weight': torch.randn(WORDS, D),
        'ln_final.weight': torch.randn(D),
        'ln_final.bias': torch.randn(D),
        'text_projection': torch.randn(D, E),
    }
    for i in range(LAYERS):
        tensors |= {
            f'transformer.resblocks.{i}.{n}': torch.randn(s) for n, s in block_shapes(D).items()
        }
    return tensors


def openai(text: dict[str, Tensor]) -> dict[str, Tensor]:
    visual = {'visual.proj': torch.ones(2, 2), 'visual.ln_pre.weight': torch.ones(2)}
    sizes = {n: torch.tensor(9) for n in ('input_resolution', 'context_length', 'vocab_size')}
    return text | visual | sizes | dict(logit_scale=torch.tensor(4.5))


def open_clip(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's CLIP, whose older files hold the mask."""
    others = dict(attn_mask=torch.ones(2, 2), logit_scale=torch.tensor(4.5))
    return text | {'visual.proj': torch.ones(2, 2)} | others


def module_text(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's CustomTextCLIP."""
    others = {'visual.trunk.blocks.0.norm1.weight': torch.ones(2)}
    others |= dict(logit_scale=torch.tensor(4.5), logit_bias=torch.tensor(-10.0))
    return {f'text.{name}': tensor for name, tensor in text.items()} | others


def eva(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """EVA-CLIP's CustomCLIP."""
    names = ('cls_token', 'pos_embed', 'blocks.0.attn.q_bias', 'norm.weight', 'head.weight')
    visual = {f'visual.{name}': torch.ones(2) for name in names}
    text = {f'text.{name}': tensor for name, tensor in text.items()}
    return text | visual | dict(logit_scale=torch.tensor(4.5))


def hf_text(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIPTextModelWithProjection of transformers."""
    modules = {
        'ln_1': 'layer_norm1',
        'attn.out_proj': 'self_attn.out_proj',
        'ln_2': 'layer_norm2',
        'mlp.c_fc': 'mlp.fc1',
        'mlp.c_proj': 'mlp.fc2',
    }
    embeddings = 'text_model.embeddings'
    tensors = {
        f'{embeddings}.position_embedding.weight': text['positional_embedding'],
        f'{embeddings}.token_embedding.weight': text['token_embedding.weight'],
        'text_model.final_layer_norm.weight': text['ln_final.weight'],
        'text_model.final_layer_norm.bias': text['ln_final.bias'],
        'text_projection.weight': text['text_projection'].T.contiguous(),
    }
    for i in range(LAYERS):
        ours, theirs = f'transformer.resblocks.{i}', f'text_model.encoder.layers.{i}'
        for kind in ('weight', 'bias'):
            rows = text[f'{ours}.attn.in_proj_{kind}'].chunk(3)
            for part, values in zip('qkv', rows, strict=True):
                tensors[f'{theirs}.self_attn.{part}_proj.{kind}'] = values.clone()
            for name, other in modules.items():
                tensors[f'{theirs}.{other}.{kind}'] = text[f'{ours}.{name}.{kind}']
    return tensors


def hf(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIPModel of transformers, with the index buffer of older versions."""
    return hf_text(text) | {
        'text_model.embeddings.position_ids': torch.arange(LENGTH)[None],
        'vision_model.post_layernorm.weight': torch.ones(2),
        'visual_projection.weight': torch.ones(2, 2),
        'logit_scale': torch.tensor(4.5),
    }


FILES = {
    'openai': ('openai-clip-text', openai),
    'openai, text alone': ('openai-clip-text', dict),
    'open_clip': ('open_clip-text', open_clip),
    'CustomTextCLIP': ('open_clip-module-text', module_text),
    'EVA-CLIP': ('eva-clip-text', eva),
    'CLIPModel': ('hf-clip-text', hf),
    'CLIPTextModelWithProjection': ('hf-clip-text', hf_text),
}


@pytest.fixture(params=FILES)
def text_file(request, tower) -> tuple[str, dict[str, Tensor]]:
    """Its source and state dict, as each CLIP file has it."""
    source, make = FILES[request.param]
    return source, make(tower)


def activation_of(source: str) -> str:
    return 'gelu' if source == 'eva-clip-text' else 'quick_gelu'


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth', '.pt'])
def test_any_clip_file_in_any_container_gives_the_tower(text_file, tower, tmp_path, suffix):
    source, theirs = text_file
    ours = dict(load_text(save(theirs, tmp_path / f'clip{suffix}'), activation_of(source)))
    assert ours.keys() == tower.keys()
    assert_close(ours, {name: tower[name] for name in ours}, rtol=0, atol=0)


@torch.no_grad()
def test_every_file_gives_the_same_sentences(text_file, tower, tmp_path):
    source, theirs = text_file
    path = str(save(theirs, tmp_path / 'clip.safetensors'))
    kind = EVAText if source == 'eva-clip-text' else CLIPText
    read, expected = kind(ARCH, path), kind(ARCH)
    read.init_weights()
    expected.load_state_dict(tower)
    ids = torch.tensor([[7, 1, 2, 8, 0]])
    assert torch.equal(read(ids)[0], expected(ids)[0])


class TestTables:
    def test_there_and_back_gives_every_tensor_that_is_not_ignored(self, text_file):
        source, theirs = text_file
        kept = {name: theirs[name] for name in SOURCES[source].known(theirs)}
        back = from_ours(source, to_ours(source, theirs))
        assert_close(dict(sorted(back.items())), dict(sorted(kept.items())), rtol=0, atol=0)

    def test_names_are_known_or_ignored_and_counted(self, text_file):
        table, theirs = SOURCES[text_file[0]], text_file[1]
        assert not table.unknown(theirs)
        assert len(table.known(theirs)) + table.left_out(theirs).total() == len(theirs)

    def test_a_name_without_rule_is_an_error(self, text_file):
        source, theirs = text_file
        with pytest.raises(KeyError, match=f"{source}: no rule for 'text_decoder.x.weight'"):
            to_ours(source, theirs | {'text_decoder.x.weight': torch.ones(1)})


def test_what_is_ignored_is_logged_by_pattern_and_count(tower, tmp_path, logged):
    load_text(save(openai(tower), tmp_path / 'clip.safetensors'))
    line = next(text for _, text in logged if 'text tower' in text)
    assert f'{len(tower)} tensors' in line and 'named as in openai-clip-text' in line
    assert 'visual.* (2)' in line and 'vocab_size (1)' in line


@pytest.mark.parametrize('name', ['text_decoder.ln.weight', 'text.cls_emb'])
def test_a_foreign_file_is_refused_with_every_sources_reason(tower, tmp_path, name):
    path = save(openai(tower) | {name: torch.ones(2)}, tmp_path / 'coca.safetensors')
    with pytest.raises(KeyError) as error:
        load_text(path)
    for source in ('openai-clip-text', 'open_clip-module-text', 'eva-clip-text', 'hf-clip-text'):
        assert f'{source}: no rule for' in str(error.value)


def test_an_image_tower_alone_is_refused(tmp_path):
    path = save({'visual.ln_pre.weight': torch.ones(2)}, tmp_path / 'image.safetensors')
    with pytest.raises(KeyError, match='openai-clip-text: no text tower'):
        load_text(path)
    trunk = save({'class_embedding': torch.ones(2)}, tmp_path / 'trunk.safetensors')
    with pytest.raises(KeyError, match="openai-clip-text: no rule for 'class_embedding'"):
        load_text(trunk)


def test_a_text_tower_alone_is_no_image_tower(tower, tmp_path):
    with pytest.raises(KeyError, match='none of the known CLIP files'):
        load_visual(save(tower, tmp_path / 'text.safetensors'))


class TestActivation:
    @pytest.mark.parametrize(
        ('name', 'config', 'good'),
        [
            ('config.json', dict(text_config=dict(hidden_act='gelu')), False),
            ('config.json', dict(hidden_act='gelu'), False),
            ('config.json', dict(text_config=dict(hidden_act='quick_gelu')), True),
            ('config.json', dict(text_config={}), True),
            ('open_clip_config.json', dict(model_cfg={}), False),
            ('open_clip_config.json', dict(model_cfg=dict(quick_gelu=True)), True),
        ],
    )
    def test_another_one_is_refused(self, tower, tmp_path, name, config, good):
        make = hf if name == 'config.json' else open_clip
        path = save(make(tower), tmp_path / 'clip.safetensors')
        (tmp_path / name).write_text(json.dumps(config))
        if good:
            load_text(path)
        else:
            with pytest.raises(ValueError, match="activation 'gelu'.*model.text_tower.activation"):
                load_text(path)
            assert load_text(path, activation='gelu')

    def test_eva_clip_needs_its_own(self, tower, tmp_path):
        path = save(eva(tower), tmp_path / 'eva.safetensors')
        with pytest.raises(ValueError, match='has the exact GELU; .*quick_gelu.*EVAText'):
            load_text(path)

    def test_a_file_that_does_not_tell_is_warned_about(self, text_file, tmp_path, logged):
        source, theirs = text_file
        load_text(save(theirs, tmp_path / 'clip.safetensors'), activation_of(source))
        warned = any(level == 'WARNING' and 'taken for quick_gelu' in t for level, t in logged)
        assert warned == (source not in ('openai-clip-text', 'eva-clip-text'))


class TestLogitScale:
    def test_is_read(self, tower, tmp_path):
        assert load_logit_scale(save(eva(tower), tmp_path / 'clip.safetensors')) == 4.5

    def test_of_one_tower_alone_is_missing(self, tower, tmp_path):
        with pytest.raises(KeyError, match='has no logit_scale.*4.6052'):
            load_logit_scale(save(tower, tmp_path / 'text.safetensors'))

    def test_a_temperature_that_is_no_number_is_an_error(self, tower, tmp_path):
        path = save(openai(tower) | dict(logit_scale=torch.ones(3)), tmp_path / 'x.safetensors')
        with pytest.raises(ValueError, match=r'x\.safetensors must be one number, got \(3,\)'):
            load_logit_scale(path)
