"""SigLIP's tokenizer: its rows, its cleaning, and files that it cannot use."""

import pytest
import torch
from mmaction.registry import MODELS

from mmstadapter import SigLIPTokenizer
from mmstadapter.models.text_towers.siglip_tokenizer import canonical
from mmstadapter.testing import TINY_TEXT_ARCH, tiny_retriever, tiny_text

tokenizers = pytest.importorskip('tokenizers')
PIECES = ('<pad>', '<eos>', '<bos>', '<unk>', 'a', 'cat', 'dog', 'jumps', 'niño')


def write_tokenizer(path, pieces=PIECES) -> str:
    """A tokenizer.json of whole words, which pads, cuts and adds a start by itself."""
    words = {piece: i for i, piece in enumerate(pieces)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token='<unk>'))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single='<bos> $A', special_tokens=[('<bos>', 2)]
    )
    made.enable_padding(length=4)
    made.enable_truncation(3)
    made.save(str(path))
    return str(path)


@pytest.fixture
def file(tmp_path) -> str:
    return write_tokenizer(tmp_path / 'tokenizer.json')


def test_rows_are_pieces_end_and_padding(file):
    ids = SigLIPTokenizer(file, context_length=6)(['A cat jumps.', '', 'Niño'])
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[4, 5, 7, 1, 0, 0], [1, 0, 0, 0, 0, 0], [8, 1, 0, 0, 0, 0]]


def test_a_long_caption_loses_its_last_pieces_and_keeps_its_end(file):
    tokenizer = SigLIPTokenizer(file, context_length=3)
    assert tokenizer(['a dog jumps']).tolist() == [[4, 6, 1]]
    assert tokenizer.pieces('a dog jumps') == [4, 6, 7]


@pytest.mark.parametrize(
    ('caption', 'read'),
    [
        ('  A   Dog,\n jumps! ', 'a dog jumps'),
        ('red_ball &amp; &lt;b&gt;', 'red ball b'),
        ('schÃ¶n', 'schön'),
        ("it's «так» 狗。", 'its «так» 狗。'),
    ],
)
def test_captions_are_cleaned_as_in_siglips_training(caption, read):
    assert canonical(caption) == read


def test_nothing_is_read_before_it_is_needed(tmp_path):
    tokenizer = SigLIPTokenizer(str(tmp_path / 'none.json'))
    with pytest.raises(FileNotFoundError, match='no file .*none.json.*model.tokenizer.file'):
        tokenizer(['a dog'])


def test_a_retriever_reads_it_before_its_weights(tmp_path):
    tokenizer = dict(type='mmstadapter.SigLIPTokenizer', file=str(tmp_path / 'none.json'))
    text = tiny_text(arch=dict(TINY_TEXT_ARCH, vocab_size=256000, context_length=64))
    text['checkpoint'] = str(tmp_path / 'neither.pt')
    model = MODELS.build(tiny_retriever(tokenizer=tokenizer, text_tower=text))
    with pytest.raises(FileNotFoundError, match='none.json'):
        model.init_weights()


def test_files_that_do_not_fit_are_refused(file, tmp_path):
    (tmp_path / 'bad.json').write_text('{"model": 3}')
    cases = [
        (dict(file=str(tmp_path / 'bad.json')), 'is no tokenizer.json'),
        (dict(file=file, end='</s>'), "has no piece '</s>'. Set model.tokenizer.end"),
        (dict(file=file, vocab_size=8), 'ids up to 8, the text tower embeds 8'),
        (dict(file=file, context_length=1), 'context_length must be at least 2'),
    ]
    for settings, message in cases:
        with pytest.raises(ValueError, match=message):
            SigLIPTokenizer(**settings).read()


def test_one_string_is_refused(file):
    with pytest.raises(TypeError, match='a list of captions'):
        SigLIPTokenizer(file)('a dog')
