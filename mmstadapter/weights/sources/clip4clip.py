"""Official CLIP4Clip, and the parts that all retrieval models made from it share."""

from ..clip_names import BLOCK_PARTS, TEXT_NAMES, TRUNK_NAMES, same
from ..tables import Rule, Source

MASKS = ('clip.attn_mask', 'clip.text.attn_mask')
FINGERPRINTS = ('backbone.trunk.fingerprint', 'text_tower.fingerprint')
SCALE = Rule('logit_scale', ('clip.logit_scale',))


def text_rules(prefix: str) -> tuple[Rule, ...]:
    """The text tower, whose names begin with ``prefix``."""
    return same(TEXT_NAMES, 'text_tower.', prefix)


def header_rules(theirs: str) -> tuple[Rule, ...]:
    """The transformer over the frames, which they call ``theirs``, and its positions."""
    header = 'similarity.header.'
    return (
        Rule(header + 'positions', ('frame_position_embeddings.weight',)),
        *same(BLOCK_PARTS, header + 'blocks.{}.', theirs + '.resblocks.{}.'),
    )


def retriever(name: str, *rules: Rule) -> Source:
    """A whole model: these rules and the temperature."""
    return Source(name, 'model', (*rules, SCALE), ignored=MASKS, ignored_ours=FINGERPRINTS)


SOURCES = (
    retriever(
        'clip4clip',
        *same((*TRUNK_NAMES, 'proj'), 'backbone.trunk.', 'clip.visual.'),
        *text_rules('clip.'),
        *header_rules('transformerClip'),
    ),
)
