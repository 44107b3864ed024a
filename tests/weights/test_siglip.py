"""SigLIP's and PE-Core's files: whoever wrote them, the same towers come out of them."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mmstadapter import SigLIPText
from mmstadapter.weights import (
    SOURCES,
    from_ours,
    load_number,
    load_siglip_text,
    load_timm,
    to_ours,
)
from mmstadapter.weights.sources import pe_core, siglip

from .conftest import save

D = 6
ARCH = dict(vocab_size=9, context_length=4, embed_dims=8, num_layers=11, num_heads=2)
ARCH |= dict(output_dims=5)
NUMBERS = dict(logit_scale=torch.tensor([4.7]), logit_bias=torch.tensor([-16.5]))


def shape(name: str) -> tuple[int, ...]:
    """Of a tensor of timm's, no two kinds alike."""
    rows = 3 if 'qkv' in name else 2 if '.kv.' in name else 1
    if name in ('pos_embed', 'attn_pool.latent'):
        return (1, 4, D) if name == 'pos_embed' else (1, 1, D)
    if name == 'patch_embed.proj.weight':
        return (D, 3, 2, 2)
    return (rows * D, D) if name.endswith('weight') and 'norm' not in name else (rows * D,)


def trunk(names: tuple[str, ...]) -> dict[str, Tensor]:
    """A tower of eleven blocks under timm's names."""
    torch.manual_seed(0)
    numbered = (n.format(i) for n in names for i in range(11 if '{}' in n else 1))
    return {name: torch.randn(shape(name)) for name in numbered}


@pytest.fixture
def image() -> dict[str, Tensor]:
    return trunk(siglip.TRUNK_NAMES)


@pytest.fixture
def text() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {n: torch.randn_like(t) for n, t in SigLIPText(ARCH).state_dict().items()}


def open_clip(image: dict[str, Tensor], text: dict[str, Tensor]) -> dict[str, Tensor]:
    towers = {f'visual.trunk.{n}': t for n, t in image.items()}
    return towers | {f'text.{n}': t for n, t in text.items()} | NUMBERS


def hugging_face(image: dict[str, Tensor], text: dict[str, Tensor]) -> dict[str, Tensor]:
    """Written out by hand: queries, keys and values apart in blocks, together in the pooling."""
    out = {
        'vision_model.embeddings.position_embedding.weight': image['pos_embed'][0],
        'vision_model.head.probe': image['attn_pool.latent'],
        'text_model.embeddings.position_embedding.weight': text['positional_embedding'],
        'text_model.embeddings.token_embedding.weight': text['token_embedding.weight'],
    }
    for k in ('weight', 'bias'):
        out[f'vision_model.embeddings.patch_embedding.{k}'] = image[f'patch_embed.proj.{k}']
        out[f'vision_model.post_layernorm.{k}'] = image[f'norm.{k}']
        pool = [image[f'attn_pool.{part}.{k}'] for part in ('q', 'kv')]
        out[f'vision_model.head.attention.in_proj_{k}'] = torch.cat(pool)
        for theirs, ours in (
            ('attention.out_proj', 'proj'),
            ('layernorm', 'norm'),
            ('mlp.fc1', 'mlp.fc1'),
            ('mlp.fc2', 'mlp.fc2'),
        ):
            out[f'vision_model.head.{theirs}.{k}'] = image[f'attn_pool.{ours}.{k}']
        out[f'text_model.final_layer_norm.{k}'] = text[f'ln_final.{k}']
        out[f'text_model.head.{k}'] = text[f'text_projection.{k}']
        for i in range(11):
            ours, there = f'blocks.{i}.', f'vision_model.encoder.layers.{i}.'
            words, here = f'transformer.resblocks.{i}.', f'text_model.encoder.layers.{i}.'
            rows = image[f'{ours}attn.qkv.{k}'], text[f'{words}attn.in_proj_{k}']
            for part, one, other in zip('qkv', rows[0].chunk(3), rows[1].chunk(3), strict=True):
                out[f'{there}self_attn.{part}_proj.{k}'] = one
                out[f'{here}self_attn.{part}_proj.{k}'] = other
            for theirs, mine, clips in (
                ('layer_norm1', 'norm1', 'ln_1'),
                ('self_attn.out_proj', 'attn.proj', 'attn.out_proj'),
                ('layer_norm2', 'norm2', 'ln_2'),
                ('mlp.fc1', 'mlp.fc1', 'mlp.c_fc'),
                ('mlp.fc2', 'mlp.fc2', 'mlp.c_proj'),
            ):
                out[f'{there}{theirs}.{k}'] = image[f'{ours}{mine}.{k}']
                out[f'{here}{theirs}.{k}'] = text[f'{words}{clips}.{k}']
    return {name: tensor.clone() for name, tensor in out.items()} | NUMBERS


FILES = {'open_clip': open_clip, 'hf': hugging_face}


def same(found, expected):
    assert_close(dict(sorted(found.items())), dict(sorted(expected.items())), rtol=0, atol=0)


@pytest.mark.parametrize('origin', FILES)
class TestSigLIP:
    def test_both_towers_and_both_numbers_are_in_a_file(self, origin, image, text, tmp_path):
        path = save(FILES[origin](image, text), tmp_path / 'model.safetensors')
        same(load_timm(path), image)
        same(load_siglip_text(path), text)
        assert load_number(path, 'logit_scale') == pytest.approx(4.7)
        assert load_number(path, 'logit_bias') == -16.5

    @pytest.mark.parametrize('part', ['', '-text'])
    def test_there_and_back_gives_every_tensor_that_is_not_ignored(self, origin, part, image, text):
        table, theirs = SOURCES[f'siglip-{origin}{part}'], FILES[origin](image, text)
        assert len(table.known(theirs)) + table.left_out(theirs).total() == len(theirs)
        kept = {name: theirs[name] for name in table.known(theirs)}
        same(from_ours(table.name, to_ours(table.name, theirs)), kept)
        assert not table.lacking(to_ours(table.name, theirs))

    def test_another_part_in_it_is_refused(self, origin, image, text, tmp_path):
        heads = dict(open_clip='visual.trunk_2.weight', hf='vision_model.encoder.gate')
        tensors = FILES[origin](image, text) | {heads[origin]: torch.ones(2)}
        with pytest.raises(KeyError, match=f'load_timm.*{heads[origin]}'):
            load_timm(save(tensors, tmp_path / 'model.safetensors'))


def test_timms_own_file_is_given_as_it_is(image, tmp_path):
    same(load_timm(save(image, tmp_path / 'model.safetensors')), image)


def test_a_projection_beside_timms_transformer_is_its_head(image, text, tmp_path):
    weight = torch.ones(5, D)
    tensors = open_clip(image, text) | {'visual.head.proj.weight': weight}
    found = load_timm(save(tensors, tmp_path / 'model.safetensors'))
    same(found, image | {'head.weight': weight, 'head.bias': torch.zeros(5)})


def test_a_share_of_a_tensor_alone_makes_none_of_theirs(image):
    del image['attn_pool.kv.bias']
    with pytest.raises(KeyError, match=r'head.attention.in_proj_bias.*our attn_pool.kv.bias'):
        from_ours('siglip-hf', image)


def test_a_clip_file_is_no_siglip(tmp_path):
    path = save({'text_projection': torch.ones(2, 2)}, tmp_path / 'clip.pt')
    with pytest.raises(KeyError, match=r'load_siglip_text: .*known SigLIP files.*both towers of S'):
        load_siglip_text(path)


def test_pe_core_is_named_as_in_timm_under_open_clips_prefix():
    names = trunk(pe_core.TRUNK_NAMES)
    theirs = open_clip(names, {'token_embedding.weight': torch.ones(2, 2)})
    same(to_ours('pe-open_clip', theirs), names)
    same(to_ours('pe-open_clip', names), names)
