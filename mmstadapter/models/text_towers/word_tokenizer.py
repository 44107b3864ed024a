"""A tokenizer of whole words, for languages of a few dozen words."""

from collections.abc import Iterable

from mmaction.registry import TOKENIZER
from torch import Tensor

from .packing import check_captions, check_length, pack


@TOKENIZER.register_module()
class WordTokenizer:
    """Captions to ids, one a word; a word that is not in the list is an error.

    Ids are 0 for padding, 1, 2, ... for the words in the order given, then the start and,
    largest as in CLIP, the end.

    Args:
        words: the language, lower case.
        context_length: tokens of a row with start and end.

    Raises:
        ValueError: if a word occurs twice or is not one lower-case word, or if there is
            no room for start, a word and end.
    """

    def __init__(self, words: Iterable[str], context_length: int = 12) -> None:
        self.words = tuple(words)
        self.context_length = check_length('WordTokenizer', context_length)
        self._ids = {word: i for i, word in enumerate(self.words, start=1)}
        odd = [w for w in self.words if w.split() != [w.lower()] or self.words.count(w) > 1]
        if odd:
            raise ValueError(
                'WordTokenizer: words must be different and each one word in lower case, got '
                f'{odd[:5]}.'
            )
        self.start, self.end = len(self.words) + 1, len(self.words) + 2

    @property
    def vocab_size(self) -> int:
        """The number of ids, for the text tower."""
        return self.end + 1

    def __call__(self, captions: list[str]) -> Tensor:
        """B captions -> (B, context_length) int64: start, words, end, zeros.

        Raises:
            TypeError: for anything but a sequence of strings.
            ValueError: for an unknown word or a caption that is too long.
        """
        check_captions('WordTokenizer', captions)
        rows = [[self.start, *self._encode(caption), self.end] for caption in captions]
        return pack(rows, self.context_length)

    def _encode(self, caption: str) -> list[int]:
        """The ids of a caption's words."""
        words = caption.lower().split()
        unknown = [word for word in words if word not in self._ids]
        if unknown or len(words) > self.context_length - 2:
            raise ValueError(
                f'WordTokenizer: captions must have at most {self.context_length - 2} words of the '
                f'{len(self.words)} known ones, got {caption!r} with {len(words)} words, unknown: '
                f'{unknown or "none"}. Known: {", ".join(self.words)}.'
            )
        return [self._ids[word] for word in words]

    def __repr__(self) -> str:
        return f'WordTokenizer({len(self.words)} words, context_length={self.context_length})'
