"""Captions become the ids that the released code makes of them, or a clear error."""

import copy
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import TOKENIZER
from safetensors.torch import load_file

from mmstadapter import CLIPTokenizer, WordTokenizer, text_mask
from mmstadapter.models.retrieval.checks import check_parts

REFERENCE = Path(__file__).parents[1] / 'reference' / 'parity'


@pytest.fixture(scope='module')
def released():
    """Captions with their pieces, and the rows and masks of the released loaders."""
    info = json.loads((REFERENCE / 'E_tokenizer_1.json').read_text(encoding='utf-8'))
    return info | load_file(REFERENCE / 'E_tokenizer_1.safetensors')


def lengths(ids: torch.Tensor) -> list[int]:
    return text_mask(ids).sum(dim=1).tolist()


class TestCLIPTokenizer:
    def test_every_caption_has_the_released_pieces(self, released):
        tokenizer = CLIPTokenizer()
        for caption, pieces in zip(released['captions'], released['tokens_raw'], strict=True):
            assert tokenizer.pieces(caption) == pieces, caption

    @pytest.mark.parametrize('length', [12, 32])
    def test_rows_are_the_released_ones(self, released, length):
        ids = CLIPTokenizer(context_length=length)(released['captions'])
        assert torch.equal(ids, released[f'ids{length}'])

    def test_masks_are_the_released_ones(self, released):
        assert torch.equal(text_mask(released['ids32']).long(), released['mask32'])

    def test_a_long_caption_loses_its_last_pieces_and_keeps_its_end(self):
        ids = CLIPTokenizer(5)(['a dog jumps into the water'])
        assert ids.tolist() == [[49406, *CLIPTokenizer().pieces('a dog jumps'), 49407]]

    @pytest.mark.parametrize('caption', ['', '   ', '\n\t'])
    def test_an_empty_caption_is_start_and_end(self, caption):
        assert CLIPTokenizer(4)([caption]).tolist() == [[49406, 49407, 0, 0]]

    def test_no_captions_give_no_rows(self):
        assert CLIPTokenizer(7)([]).shape == (0, 7)

    @pytest.mark.parametrize('captions', ['one string', ['fine', None], [3.5]])
    def test_what_is_no_list_of_strings_is_refused(self, captions):
        with pytest.raises(TypeError, match='CLIPTokenizer: .*string'):
            CLIPTokenizer()(captions)

    def test_a_length_without_room_is_refused(self):
        with pytest.raises(ValueError, match='at least 3 .start, a word, end., got 2'):
            CLIPTokenizer(2)

    def test_is_built_from_a_config_and_can_be_copied(self):
        tokenizer = TOKENIZER.build(dict(type='mmstadapter.CLIPTokenizer', context_length=9))
        for twin in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
            assert torch.equal(twin(['a cat']), tokenizer(['a cat']))


class TestWordTokenizer:
    WORDS = ('digit', 'falls', 'the')

    def test_words_are_numbered_as_given_and_the_end_is_largest(self):
        tokenizer = WordTokenizer(self.WORDS, context_length=6)
        assert tokenizer(['the digit falls', 'The']).tolist() == [
            [4, 3, 1, 2, 5, 0],
            [4, 3, 5, 0, 0, 0],
        ]
        assert tokenizer.vocab_size == 6

    @pytest.mark.parametrize('caption', ['the cat', 'the digit ' * 3])
    def test_what_cannot_be_written_is_refused(self, caption):
        tokenizer = WordTokenizer(self.WORDS, context_length=6)
        with pytest.raises(ValueError, match='at most 4 words.*Known: digit, falls, the'):
            tokenizer([caption])

    @pytest.mark.parametrize('words', [['a', 'a'], ['two words'], ['Upper'], ['']])
    def test_a_list_of_other_things_than_words_is_refused(self, words):
        with pytest.raises(ValueError, match='each one word in lower case'):
            WordTokenizer(words)

    def test_is_built_from_a_config(self):
        config = dict(type='mmstadapter.WordTokenizer', words=['a'], context_length=4)
        assert TOKENIZER.build(config)(['a']).tolist() == [[2, 1, 3, 0]]


def test_a_retriever_refuses_ids_that_its_text_tower_does_not_know():
    parts = dict(
        backbone=SimpleNamespace(output='frames'),
        text_tower=SimpleNamespace(vocab_size=14),
        similarity=SimpleNamespace(embed_dims=16),
        tokenizer=CLIPTokenizer(),
    )
    with pytest.raises(ValueError, match='makes 49408 different ids.*embeds 14'):
        check_parts(SimpleNamespace(**parts))


class TestTextMask:
    def test_covers_start_to_end(self):
        ids = torch.tensor([[8, 1, 2, 9, 0], [8, 9, 0, 0, 0], [8, 1, 1, 1, 9]])
        assert lengths(ids) == [4, 2, 5]
        assert text_mask(ids).dtype == torch.bool

    def test_of_several_ends_the_last_counts(self):
        assert lengths(torch.tensor([[8, 9, 2, 9, 0]])) == [4]
