"""SigLIP's and PE-Core's text towers: who sees whom, where a sentence is read, names and sizes."""

import pytest
import torch

from mmstadapter import PEText, SigLIPText
from mmstadapter.models import lora
from mmstadapter.testing import fill

TINY = dict(vocab_size=20, context_length=6, embed_dims=32, num_layers=2, num_heads=2)
TINY |= dict(output_dims=8)
IDS = torch.tensor([[4, 19, 7, 1, 0, 0], [5, 1, 0, 0, 0, 0]])


@pytest.fixture
def tower() -> SigLIPText:
    return fill(SigLIPText(TINY)).eval()


@torch.no_grad()
def test_a_token_sees_later_ones_and_padding(tower):
    others = IDS.clone()
    others[0, 5] = 3
    words, changed = tower(IDS)[1], tower(others)[1]
    assert not torch.allclose(words[0, 0], changed[0, 0])
    torch.testing.assert_close(words[1], changed[1])


@torch.no_grad()
def test_padding_is_kept(tower):
    ids = torch.ones(2, tower.context_length, dtype=torch.long)
    assert tower.without_padding(ids) is ids


def test_a_sentence_is_read_at_the_last_place(tower):
    sentences, words = tower(IDS)
    assert sentences.shape == (2, 8) and torch.equal(sentences, words[:, -1])


@pytest.mark.parametrize('length', [5, 7])
def test_a_row_of_another_length_is_refused(tower, length):
    with pytest.raises(ValueError, match=r'ids must be \(B, 6\)'):
        tower(torch.ones(1, length, dtype=torch.long))


def test_its_mask_leaves_padding_out_but_for_the_last_place(tower):
    assert tower.mask(IDS).tolist() == [
        [True] * 4 + [False, True],
        [True] * 2 + [False] * 3 + [True],
    ]


def test_every_parameter_gets_a_gradient(tower):
    tower(torch.arange(20).view(2, 10)[:, :6])[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in tower.parameters())


def test_the_width_of_the_mlps_can_be_set():
    tower = SigLIPText(TINY | dict(mlp_ratio=1.25))
    assert tower.transformer.resblocks[0].mlp.c_fc.weight.shape == (40, 32)


def test_names_are_open_clips():
    names = {n for n in SigLIPText(TINY).state_dict() if 'resblocks' not in n}
    assert names == {
        'positional_embedding',
        'token_embedding.weight',
        *(
            f'{part}.{kind}'
            for part in ('ln_final', 'text_projection')
            for kind in ('weight', 'bias')
        ),
    }


def test_lora_leaves_the_projection_alone():
    pytest.importorskip('peft')
    tower = SigLIPText(TINY, tune='none', lora=dict(r=2))
    tuned = {n for n, p in tower.named_parameters() if p.requires_grad}
    assert tuned and all('resblocks' in n and lora.is_added(n) for n in tuned)


def sizes(embed_dims: int, num_layers: int, mlp: int, words: int, places: int) -> int:
    """Values of a text transformer without its projection."""
    attention, norms = 4 * embed_dims * (embed_dims + 1), 4 * embed_dims
    block = attention + norms + mlp * (2 * embed_dims + 1) + embed_dims
    return (words + places + 2) * embed_dims + num_layers * block


@pytest.mark.parametrize(
    ('kind', 'arch', 'count'),
    [
        (SigLIPText, 'siglip2-b', sizes(768, 12, 3072, 256000, 64) + 768 * 769),
        (SigLIPText, 'siglip2-l', sizes(1024, 24, 4096, 256000, 64) + 1024 * 1025),
        (SigLIPText, 'siglip2-so400m', sizes(1152, 27, 4304, 256000, 64) + 1152 * 1153),
        (SigLIPText, 'siglip2-g', sizes(1152, 27, 4304, 256000, 64) + 1536 * 1153),
        (PEText, 'pe-core-s', sizes(512, 12, 2048, 49408, 32) + 512 * 512),
        (PEText, 'pe-core-b', sizes(1024, 24, 4096, 49408, 32) + 1024 * 1024),
        (PEText, 'pe-core-g', sizes(1280, 24, 5120, 49408, 72) + 1280 * 1280),
    ],
)
def test_named_archs_have_the_sizes_of_the_models(kind, arch, count):
    with torch.device('meta'):
        assert sum(p.numel() for p in kind(arch).parameters()) == count


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='siglip3-b'), "unknown arch 'siglip3-b'; choose from siglip2-b"),
        (dict(arch=dict(embed_dims=8)), "missing .'num_layers'"),
        (dict(arch=TINY, tune='last_1'), 'tune must be one of none, all'),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SigLIPText(**settings)
