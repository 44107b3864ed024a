"""The tables of text towers: how OpenAI, open_clip, Hugging Face and EVA-CLIP name them.

Ours are OpenAI's names, those of `CLIPText`. What a file holds besides is ignored by name.
"""

from .clip_names import BLOCK_NAMES, both, hf_block_rules, hf_rules
from .tables import Rule, Source

TEXT_NAMES = (
    'positional_embedding',
    'token_embedding.weight',
    *BLOCK_NAMES,
    *both('ln_final'),
    'text_projection',
)

# ------------------------------------------------------------ OpenAI and open_clip

OWN_RULES = tuple(Rule(name, (name,)) for name in TEXT_NAMES)
OPENAI_CLIP_TEXT = Source(
    'openai-clip-text',
    'text',
    OWN_RULES,
    ignored=('visual.*', 'logit_scale', 'input_resolution', 'context_length', 'vocab_size'),
)
OPEN_CLIP_TEXT = Source(  # open_clip's CLIP
    'open_clip-text',
    'text',
    OWN_RULES,
    ignored=('visual.*', 'attn_mask', 'logit_scale', 'logit_bias'),
)

# ---------------------------------------- text towers that are a module of their own

MODULE_RULES = tuple(Rule(name, ('text.' + name,)) for name in TEXT_NAMES)
CLIP_VISUAL = (  # of open_clip's own transformers, and of timm's
    'visual.conv1.*',
    'visual.class_embedding',
    'visual.positional_embedding',
    'visual.ln_pre.*',
    'visual.transformer.*',
    'visual.ln_post.*',
    'visual.proj',
    'visual.attn_pool.*',
    'visual.trunk.*',
    'visual.head.proj.*',
)
OPEN_CLIP_MODULE_TEXT = Source(  # open_clip's CustomTextCLIP
    'open_clip-module-text',
    'text',
    MODULE_RULES,
    ignored=(*CLIP_VISUAL, 'text.attn_mask', 'logit_scale', 'logit_bias'),
)
EVA_VISUAL = (
    'visual.cls_token',
    'visual.pos_embed',
    'visual.patch_embed.*',
    'visual.blocks.*',
    'visual.rope.*',
    'visual.norm.*',
    'visual.head.*',
)
EVA_CLIP_TEXT = Source(
    'eva-clip-text',
    'text',
    MODULE_RULES,
    ignored=(*EVA_VISUAL, 'text.attn_mask', 'logit_scale'),
)

# -------------------------------------------------------------------- Hugging Face

HF_RULES = (
    Rule('positional_embedding', ('text_model.embeddings.position_embedding.weight',)),
    Rule('token_embedding.weight', ('text_model.embeddings.token_embedding.weight',)),
    *hf_block_rules('text_model'),
    *hf_rules({'ln_final': 'text_model.final_layer_norm'}),
    Rule('text_projection', ('text_projection.weight',), transpose=True),
)
HF_CLIP_TEXT = Source(  # CLIPModel and CLIPTextModelWithProjection
    'hf-clip-text',
    'text',
    HF_RULES,
    ignored=(
        'text_model.embeddings.position_ids',
        'vision_model.*',
        'visual_projection.weight',
        'logit_scale',
    ),
)

TEXT_SOURCES = (
    OPENAI_CLIP_TEXT,
    OPEN_CLIP_TEXT,
    OPEN_CLIP_MODULE_TEXT,
    EVA_CLIP_TEXT,
    HF_CLIP_TEXT,
)
