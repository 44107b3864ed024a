"""CLIP's byte-level byte-pair tokenizer, offline."""

import gzip
import html
from functools import cache, lru_cache
from pathlib import Path

import ftfy
import regex
from mmaction.registry import TOKENIZER
from torch import Tensor

from .packing import check_captions, check_length, pack

VOCABULARY = Path(__file__).with_name('bpe_simple_vocab_16e6.txt.gz')
MERGES = slice(1, 49152 - 256 - 2 + 1)  # lines of the file that CLIP uses; the first is a header
START, END = '<|startoftext|>', '<|endoftext|>'
LAST = '</w>'  # marks the last piece of a word
WORD = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)


@TOKENIZER.register_module()
class CLIPTokenizer:
    """Captions to CLIP's token ids (Radford et al., 2021, section 2.4).

    Text is repaired by ftfy, freed of HTML entities, brought to single spaces and lower
    case, split into words, and each word into the pieces of CLIP's vocabulary of 49,408.
    A caption that is too long loses its last pieces and keeps its end. As in the released
    code, a caption that holds ``<|endoftext|>`` literally ends there for the text tower.

    Args:
        context_length: tokens of a row with start and end: 32 in Side4Video's and
            CLIP4Clip's recipes, at most the text tower's (77 in CLIP).

    Raises:
        ValueError: if there is no room for start, a word and end.
    """

    vocab_size = 49408
    start = 49406
    end = 49407

    def __init__(self, context_length: int = 32) -> None:
        self.context_length = check_length('CLIPTokenizer', context_length)

    def __call__(self, captions: list[str]) -> Tensor:
        """B captions -> (B, context_length) int64: start, pieces, end, zeros.

        Raises:
            TypeError: for anything but a sequence of strings.
        """
        check_captions('CLIPTokenizer', captions)
        longest = self.context_length - 2
        rows = [[self.start, *self.pieces(c)[:longest], self.end] for c in captions]
        return pack(rows, self.context_length)

    def read(self) -> None:
        """Read the vocabulary now, a tenth of a second, and not with the first caption."""
        _tables()

    def pieces(self, caption: str) -> list[int]:
        """The ids of a whole caption, without start and end."""
        return [piece for word in WORD.findall(clean(caption)) for piece in _pieces(word)]

    def __repr__(self) -> str:
        return f'CLIPTokenizer(context_length={self.context_length})'


def clean(caption: str) -> str:
    """A caption as CLIP reads it: repaired, one space between words, lower case."""
    text = html.unescape(html.unescape(ftfy.fix_text(caption)))
    return regex.sub(r'\s+', ' ', text).strip().lower()


@cache
def _byte_letters() -> dict[int, str]:
    """A visible letter for each byte: itself where it prints, else one from 256 on."""
    visible = [*range(ord('!'), ord('~') + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}


@cache
def _tables() -> tuple[dict[str, int], dict[tuple[str, ...], int]]:
    """Piece -> id, and pair of pieces -> rank of their merge; read once a process."""
    lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split('\n')[MERGES]
    merges = [tuple(line.split()) for line in lines]
    letters = list(_byte_letters().values())
    names = [*letters, *(letter + LAST for letter in letters), *map(''.join, merges), START, END]
    return {name: i for i, name in enumerate(names)}, {pair: i for i, pair in enumerate(merges)}


@lru_cache(maxsize=1 << 16)
def _pieces(word: str) -> tuple[int, ...]:
    """The ids of a word: pairs are joined in the order in which CLIP learnt to join them."""
    ids, ranks = _tables()
    if word in (START, END):
        return (ids[word],)
    letters = _byte_letters()
    parts = [letters[byte] for byte in word.encode()]
    parts[-1] += LAST
    while len(parts) > 1:
        pairs = zip(parts, parts[1:], strict=False)
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        parts = _join(parts, best)
    return tuple(ids[part] for part in parts)


def _join(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Every occurrence of the pair made one part, from the left."""
    joined: list[str] = []
    i = 0
    while i < len(parts):
        here = i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair
        joined.append(parts[i] + parts[i + 1] if here else parts[i])
        i += 2 if here else 1
    return joined
