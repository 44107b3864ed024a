"""The tables of official retrieval models: Side4Video with CLIP and EVA-CLIP, and CLIP4Clip."""

from .clip_names import BLOCK, BLOCK_NAMES, KINDS
from .side4video import visual_rules
from .tables import Rule, Source
from .text_sources import TEXT_NAMES

FINGERPRINTS = ('backbone.trunk.fingerprint', 'text_tower.fingerprint')


def retrieval_sources(clip_names: tuple[str, ...], eva_names: tuple[str, ...]) -> list[Source]:
    """Whole retrievers.

    Args:
        clip_names: names of a CLIP trunk's tensors without ``visual.``, ``proj`` included.
        eva_names: the same of an EVA-CLIP trunk.
    """
    scale = Rule('logit_scale', ('clip.logit_scale',))
    tokens = _token_weights()
    clip4clip = tuple(Rule('backbone.trunk.' + n, ('clip.visual.' + n,)) for n in clip_names)
    clip, eva = (
        visual_rules(names, eva=is_eva, retrieval=True, prefix='clip.visual.')
        for names, is_eva in ((clip_names, False), (eva_names, True))
    )
    header = _header('side_transformerClip')
    ignored = ('clip.attn_mask', 'clip.text.attn_mask')
    return [
        Source(name, 'model', (*rules, scale), ignored=ignored, ignored_ours=FINGERPRINTS)
        for name, rules in {
            'side4video-retrieval': (*clip, *_text('clip.'), *tokens, *header),
            'side4video-retrieval-eva': (*eva, *_text('clip.text.'), *tokens),
            'clip4clip': (*clip4clip, *_text('clip.'), *_header('transformerClip')),
        }.items()
    ]


def _text(prefix: str) -> tuple[Rule, ...]:
    return tuple(Rule('text_tower.' + name, (prefix + name,)) for name in TEXT_NAMES)


def _token_weights() -> tuple[Rule, ...]:
    """The MLPs that weigh words and frames; ``{}`` is the place in the MLP."""
    return tuple(
        Rule(f'similarity.{side}_weight.{{}}.{kind}', (f'{side}_weight_fc.{{}}.{kind}',))
        for side in ('text', 'video')
        for kind in KINDS
    )


def _header(theirs: str) -> tuple[Rule, ...]:
    """The transformer over the frames, and its positions."""
    parts = [name.removeprefix(BLOCK) for name in BLOCK_NAMES]
    return (
        Rule('similarity.header.positions', ('frame_position_embeddings.weight',)),
        *(
            Rule(f'similarity.header.blocks.{{}}.{part}', (f'{theirs}.resblocks.{{}}.{part}',))
            for part in parts
        ),
    )
