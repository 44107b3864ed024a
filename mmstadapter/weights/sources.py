"""The tables: names in OpenAI, open_clip, Hugging Face, EVA-CLIP and official ST-Adapter files."""

from collections.abc import Mapping

from torch import Tensor

from .clip_names import BLOCK, BLOCK_NAMES, both, hf_block_rules, hf_rules
from .retrievers import retrieval_sources
from .side4video import recognition_sources
from .tables import Rule, Source
from .text_sources import TEXT_SOURCES

TRUNK_NAMES = (
    'class_embedding',
    'positional_embedding',
    'conv1.weight',
    *both('ln_pre'),
    *BLOCK_NAMES,
    *both('ln_post'),
)

# ------------------------------------------------------------ OpenAI and open_clip

CLIP_RULES = tuple(Rule(name, ('visual.' + name,)) for name in (*TRUNK_NAMES, 'proj'))
CLIP_TEXT = (
    'positional_embedding',
    'token_embedding.weight',
    'transformer.resblocks.*',
    'ln_final.*',
    'text_projection',
    'logit_scale',
)
OPENAI_CLIP = Source(
    'openai-clip',
    'trunk',
    CLIP_RULES,
    ignored=(*CLIP_TEXT, 'input_resolution', 'context_length', 'vocab_size'),
    optional_prefix='visual.',
)
OPEN_CLIP = Source(  # image towers of timm have other names and are not CLIPViTs
    'open_clip',
    'trunk',
    CLIP_RULES,
    ignored=(*CLIP_TEXT, 'text.*', 'attn_mask', 'logit_bias'),
    optional_prefix='visual.',
)

# -------------------------------------------------------------------- Hugging Face

HF_RULES = (
    Rule('class_embedding', ('vision_model.embeddings.class_embedding',)),
    Rule('positional_embedding', ('vision_model.embeddings.position_embedding.weight',)),
    Rule('conv1.weight', ('vision_model.embeddings.patch_embedding.weight',)),
    *hf_rules({'ln_pre': 'vision_model.pre_layrnorm'}),  # spelt so there
    *hf_block_rules('vision_model'),
    *hf_rules({'ln_post': 'vision_model.post_layernorm'}),
    Rule('proj', ('visual_projection.weight',), transpose=True),
)
# CLIPModel, CLIPVisionModel and CLIPVisionModelWithProjection. In transformers 5 the state
# dict of a bare CLIPVisionModel has no `vision_model.`.
HF_CLIP = Source(
    'hf-clip',
    'trunk',
    HF_RULES,
    ignored=(
        'vision_model.embeddings.position_ids',
        'text_model.*',
        'text_projection.weight',
        'logit_scale',
    ),
    optional_prefix='vision_model.',
)

# ------------------------------------------------------------------------ EVA-CLIP

EVA_BLOCK = 'blocks.{}.'
EVA_NAMES = (
    'cls_token',
    'pos_embed',
    *both('patch_embed.proj', EVA_BLOCK + 'norm1'),
    *(f'{EVA_BLOCK}attn.{name}' for name in ('q_bias', 'v_bias', 'qkv.weight')),
    *both(*(EVA_BLOCK + name for name in ('attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2'))),
    *both('norm', 'head'),
)


def _eva(name: str, prefix: str) -> Source:
    rules = tuple(Rule(ours, (prefix + ours,)) for ours in EVA_NAMES)
    ignored = ('text.*', 'logit_scale', 'logit_bias')
    return Source(name, 'eva-trunk', rules, ignored, optional_prefix=prefix)


EVA_CLIP = _eva('eva-clip', 'visual.')  # without the prefix also timm's
EVA_OPEN_CLIP = _eva('eva-open_clip', 'visual.trunk.')  # whose image tower is timm's

# ------------------------------------------------------------- official ST-Adapter


def _adapter_rules(official: str, position: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(f'backbone.{position}.{{}}.{name}', (f'{BLOCK}{official}.{name}',))
        for name in both('fc1', 'conv', 'fc2')
    )


# The official code saves the trained parameters alone; a whole model has the same names.
ST_ADAPTER = Source(
    'st-adapter',
    'model',
    (
        *(Rule('backbone.trunk.' + name, (name,)) for name in TRUNK_NAMES),
        *_adapter_rules('adapter_pre_attn', 'before_attn'),
        *_adapter_rules('adapter_pre_mlp', 'after_attn'),
        *(Rule(f'cls_head.fc_cls.{kind}', (f'fc.{kind}',)) for kind in ('weight', 'bias')),
    ),
    ignored_ours=('backbone.trunk.fingerprint',),
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        OPENAI_CLIP,
        OPEN_CLIP,
        HF_CLIP,
        EVA_CLIP,
        EVA_OPEN_CLIP,
        ST_ADAPTER,
        *recognition_sources(TRUNK_NAMES, EVA_NAMES),
        *retrieval_sources((*TRUNK_NAMES, 'proj'), EVA_NAMES),
        *TEXT_SOURCES,
    )
}


def to_ours(source: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a source in `SOURCES` -> ours; see `Source.to_ours`."""
    return _find(source).to_ours(tensors)


def from_ours(source: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> that of a source in `SOURCES`; see `Source.from_ours`."""
    return _find(source).from_ours(tensors)


def _find(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f'weights: unknown source {name!r}; choose from {", ".join(SOURCES)}.')
    return SOURCES[name]
