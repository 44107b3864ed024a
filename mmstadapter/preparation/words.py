"""The words of the leaderboard's captions and their token ids."""

from typing import TYPE_CHECKING

from . import scenes

if TYPE_CHECKING:
    from .. import WordTokenizer

CONTEXT_LENGTH = 12  # tokens of a sentence with both ends; shorter ones are padded with 0


def _all_words() -> set[str]:
    """Every word of every caption, those about motion included."""
    stills = (
        caption
        for digit in range(10)
        for colour in scenes.COLOURS
        for pattern in scenes.PATTERNS
        for caption in scenes.still_captions(digit, colour, pattern)
    )
    return {word for caption in (*stills, *scenes.every_caption()) for word in caption.split()}


WORDS = tuple(sorted(_all_words()))
TEXT_ARCH = dict(  # of the text tower; its joint width is the image tower's
    vocab_size=len(WORDS) + 3,  # padding, start, end
    context_length=CONTEXT_LENGTH,
    embed_dims=64,
    num_layers=2,
    num_heads=4,
)


def tokenizer() -> 'WordTokenizer':
    """The tokenizer of the leaderboard's captions: at most ten of its words each."""
    from .. import WordTokenizer

    return WordTokenizer(WORDS, CONTEXT_LENGTH)
