"""The words of the benchmark's captions and their token ids."""

import numpy as np
import scenes

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


# As in CLIP, the end has the largest id: that is how the text tower finds it.
VOCABULARY = ('<pad>', *sorted(_all_words()), '<start>', '<end>')
_IDS = {word: i for i, word in enumerate(VOCABULARY)}


def encode(captions: list[str]) -> np.ndarray:
    """Captions to token ids, (B, 12) int64: start, words, end, padding.

    Raises:
        ValueError: for an unknown word or a caption of more than ten words.
    """
    ids = np.zeros((len(captions), CONTEXT_LENGTH), dtype=np.int64)
    for row, caption in zip(ids, captions, strict=True):
        words = ['<start>', *caption.split(), '<end>']
        unknown = [word for word in words if word not in _IDS]
        if unknown or len(words) > CONTEXT_LENGTH:
            raise ValueError(
                f'encode: captions have at most {CONTEXT_LENGTH - 2} words from VOCABULARY, got '
                f'{caption!r} with {len(words) - 2} words, unknown: {unknown or "none"}.'
            )
        row[: len(words)] = [_IDS[word] for word in words]
    return ids
