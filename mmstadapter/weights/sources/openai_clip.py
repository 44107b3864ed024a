"""OpenAI's CLIP: the names that ours are, in a file with both towers."""

from ..clip_names import TEXT_NAMES, TRUNK_NAMES, same
from ..tables import Source

TEXT = (
    'positional_embedding',
    'token_embedding.weight',
    'transformer.resblocks.*',
    'ln_final.*',
    'text_projection',
    'logit_scale',
)
SIZES = ('input_resolution', 'context_length', 'vocab_size')
IMAGE_RULES = same((*TRUNK_NAMES, 'proj'), theirs='visual.')
TEXT_RULES = same(TEXT_NAMES)

SOURCES = (
    Source(
        'openai-clip',
        'trunk',
        IMAGE_RULES,
        ignored=(*TEXT, *SIZES),
        optional_prefix='visual.',
        one_activation=True,
    ),
    Source(
        'openai-clip-text',
        'text',
        TEXT_RULES,
        ignored=('visual.*', 'logit_scale', *SIZES),
        one_activation=True,
    ),
)
