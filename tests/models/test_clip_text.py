"""The text tower: the released retrieval code's numbers, causality, names."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmstadapter import CLIPText, EVAText, weights
from mmstadapter.testing import fill

REFERENCE = Path(__file__).parents[1] / 'reference' / 'parity'
TINY = dict(
    vocab_size=20, context_length=9, embed_dims=32, num_layers=2, num_heads=2, output_dims=8
)


@pytest.fixture
def tower() -> CLIPText:
    return fill(CLIPText(TINY)).eval()


@pytest.mark.parametrize(
    ('case', 'tower', 'source', 'arch'),
    [
        ('B_text_1', CLIPText, 'openai-clip-text', dict(num_layers=2, output_dims=24)),
        ('F_eva_text_1', EVAText, 'eva-clip-text', dict(num_layers=1, output_dims=20)),
    ],
)
@torch.no_grad()
def test_the_released_retrieval_code_gives_the_same_numbers(case, tower, source, arch):
    stored = load_file(REFERENCE / f'{case}.safetensors')
    official = {n[6:]: t.float() for n, t in stored.items() if n.startswith('param/')}
    ours = weights.to_ours(source, official)
    length = len(ours['positional_embedding'])
    arch |= dict(embed_dims=64, num_heads=2, vocab_size=96, context_length=length)
    model = tower(arch)
    model.load_state_dict(ours)
    sentences, tokens = model(stored['ids'])
    torch.testing.assert_close(sentences, stored['pooled'], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens, stored['hidden'], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_evas_tower_takes_any_length():
    tower = fill(EVAText(TINY)).eval()
    short, padded = torch.tensor([[1, 5, 19]]), torch.tensor([[1, 5, 19, 0, 0, 7]])
    torch.testing.assert_close(tower(short)[0], tower(padded)[0])


@torch.no_grad()
def test_a_token_does_not_see_later_ones(tower):
    ids = torch.tensor([[1, 2, 3, 4, 19], [1, 2, 3, 9, 19]])
    words = tower(ids)[1]
    torch.testing.assert_close(words[0, :3], words[1, :3])
    assert not torch.allclose(words[0, 3:], words[1, 3:])


@torch.no_grad()
def test_padding_has_no_influence_on_the_sentence(tower):
    short, padded = torch.tensor([[1, 5, 19]]), torch.tensor([[1, 5, 19, 0, 0, 7]])
    torch.testing.assert_close(tower(short)[0], tower(padded)[0])


@torch.no_grad()
def test_what_follows_the_longest_caption_can_be_left_out(tower):
    ids = torch.tensor([[18, 3, 19, 0, 0, 0], [18, 3, 4, 19, 0, 0]])
    short = tower.without_padding(ids)
    assert short.shape == (2, 4)
    torch.testing.assert_close(tower(short)[0], tower(ids)[0])


def test_a_tower_that_will_be_read_from_a_file_draws_no_numbers(monkeypatch):
    monkeypatch.setattr(torch.Tensor, 'normal_', None)  # imports the compiler on the meta device
    assert CLIPText(TINY, checkpoint='nowhere.pt').token_embedding.weight.shape == (20, 32)


def test_the_sentence_is_the_word_at_its_end(tower):
    ids = torch.tensor([[1, 5, 19, 0], [1, 19, 0, 0]])
    sentences, words = tower(ids)
    assert sentences.shape == (2, 8) and words.shape == (2, 4, 8)
    torch.testing.assert_close(sentences, torch.stack([words[0, 2], words[1, 1]]))


def test_a_sentence_that_is_too_long_is_refused(tower):
    with pytest.raises(ValueError, match='at most context_length = 9'):
        tower(torch.zeros(1, 10, dtype=torch.long))


def test_every_parameter_gets_a_gradient(tower):
    sentences, _ = tower(torch.tensor([[1, 5, 7, 8, 2, 3, 4, 6, 19]]))
    sentences.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in tower.parameters())


def test_names_are_openais():
    names = {n for n in CLIPText(TINY).state_dict() if 'resblocks.1' not in n}
    block = 'transformer.resblocks.0.'
    assert names == {
        'positional_embedding',
        'text_projection',
        'token_embedding.weight',
        'ln_final.weight',
        'ln_final.bias',
        *(f'{block}{norm}.{kind}' for norm in ('ln_1', 'ln_2') for kind in ('weight', 'bias')),
        *(f'{block}attn.in_proj_{kind}' for kind in ('weight', 'bias')),
        *(
            f'{block}{layer}.{kind}'
            for layer in ('attn.out_proj', 'mlp.c_fc', 'mlp.c_proj')
            for kind in ('weight', 'bias')
        ),
    }
