"""SigLIP's tokenizer, from its file."""

import html
import string
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import ftfy
from mmaction.registry import TOKENIZER
from torch import Tensor, full, long, tensor

from .packing import check_captions

WITHOUT_PUNCTUATION = str.maketrans('', '', string.punctuation)


@TOKENIZER.register_module()
class SigLIPTokenizer:
    """Captions of any language to the ids of SigLIP 2: pieces, end, padding.

    The file is Gemma's ``tokenizer.json`` as it lies beside SigLIP 2's weights. It is data,
    read by the library tokenizers. As in SigLIP's training text is repaired by ftfy, freed of
    HTML entities and ASCII punctuation, and brought to lower case and single spaces. A caption
    that is too long loses its last pieces and keeps its end.

    Args:
        file: path of ``tokenizer.json``, read with the first caption or when weights are.
        context_length: tokens of a row; the text tower reads exactly as many as it was trained
            with, 64.
        vocab_size: ids that the text tower embeds; the file may have no more.
        padding, end: how the file calls the two, ``'<pad>'`` and ``'<eos>'`` for SigLIP 2.

    Raises:
        ValueError: if there is no room for a piece and the end.
    """

    num_ends = 1  # no start

    def __init__(
        self,
        file: str,
        context_length: int = 64,
        vocab_size: int = 256000,
        padding: str = '<pad>',
        end: str = '<eos>',
    ) -> None:
        if context_length < 2:
            raise ValueError(
                'SigLIPTokenizer: context_length must be at least 2 (a piece, the end), got '
                f'{context_length}.'
            )
        self.file, self.context_length, self.vocab_size = file, context_length, vocab_size
        self.names = dict(padding=padding, end=end)

    def read(self) -> None:
        """Read the file now.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is no tokenizer, lacks padding or end, or has too many ids.
            ImportError: without the library tokenizers.
        """
        self._read  # noqa: B018, reads it

    @cached_property
    def _read(self) -> tuple[Any, dict[str, int]]:
        """The library's tokenizer, and the ids of padding and end."""
        path, tokenizers = Path(self.file), import_tokenizers()
        if not path.is_file():
            raise FileNotFoundError(
                f'SigLIPTokenizer: no file {path}. Fetch tokenizer.json from where the weights '
                'come from (hf download timm/ViT-B-16-SigLIP2 tokenizer.json), and set '
                'model.tokenizer.file to its path.'
            )
        try:
            found = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises Exception itself
            raise ValueError(
                f'SigLIPTokenizer: {path} is no tokenizer.json of the library tokenizers: {error}.'
            ) from None
        found.no_padding()
        found.no_truncation()
        return found, self._check(found)

    def _check(self, found: Any) -> dict[str, int]:
        """The ids of padding and end in the file, which must have both and fit the tower."""
        ids = {what: found.token_to_id(name) for what, name in self.names.items()}
        for what in (what for what, number in ids.items() if number is None):
            raise ValueError(
                f'SigLIPTokenizer: {self.file} has no piece {self.names[what]!r}. Set '
                f'model.tokenizer.{what} to what it calls its {what}.'
            )
        largest = max(found.get_vocab().values())
        if largest >= self.vocab_size:
            raise ValueError(
                f'SigLIPTokenizer: {self.file} has ids up to {largest}, the text tower embeds '
                f'{self.vocab_size}. Give the file that lies beside its weights.'
            )
        return ids

    def __call__(self, captions: list[str]) -> Tensor:
        """B captions -> (B, context_length) int64: pieces, end, padding.

        Raises:
            TypeError: for anything but a sequence of strings.
        """
        check_captions('SigLIPTokenizer', captions)
        ends = self._read[1]
        ids = full((len(captions), self.context_length), ends['padding'], dtype=long)
        for row, caption in zip(ids, captions, strict=True):
            found = [*self.pieces(caption)[: self.context_length - 1], ends['end']]
            row[: len(found)] = tensor(found)
        return ids

    def pieces(self, caption: str) -> list[int]:
        """The ids of a whole caption, without the end."""
        return self._read[0].encode(canonical(caption), add_special_tokens=False).ids

    def __repr__(self) -> str:
        return f'SigLIPTokenizer({self.file!r}, context_length={self.context_length})'


def canonical(caption: str) -> str:
    """A caption as SigLIP reads it: no ASCII punctuation, lower case, single spaces."""
    text = html.unescape(html.unescape(ftfy.fix_text(caption))).replace('_', ' ')
    return ' '.join(text.translate(WITHOUT_PUNCTUATION).lower().split())


def import_tokenizers() -> ModuleType:
    """The library, or an error that says how to install it."""
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            f'SigLIPTokenizer: tokenizers is needed and cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[tokenizers]'."
        ) from error
    return tokenizers
