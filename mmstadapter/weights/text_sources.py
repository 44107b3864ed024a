"""The tables of text towers: how OpenAI, open_clip, Hugging Face and EVA-CLIP name them.

Ours are OpenAI's names, those of `CLIPText`. What a file holds besides is ignored by name.
"""

from .tables import Rule, Source

BLOCK = 'transformer.resblocks.{}.'


def _both(*modules: str) -> tuple[str, ...]:
    return tuple(f'{module}.{kind}' for module in modules for kind in ('weight', 'bias'))


TEXT_NAMES = (
    'positional_embedding',
    'token_embedding.weight',
    *_both(BLOCK + 'ln_1'),
    BLOCK + 'attn.in_proj_weight',
    BLOCK + 'attn.in_proj_bias',
    *_both(*(BLOCK + name for name in ('attn.out_proj', 'ln_2', 'mlp.c_fc', 'mlp.c_proj'))),
    *_both('ln_final'),
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

HF_LAYER = 'text_model.encoder.layers.{}.'
HF_MODULES = {
    BLOCK + 'ln_1': HF_LAYER + 'layer_norm1',
    BLOCK + 'attn.out_proj': HF_LAYER + 'self_attn.out_proj',
    BLOCK + 'ln_2': HF_LAYER + 'layer_norm2',
    BLOCK + 'mlp.c_fc': HF_LAYER + 'mlp.fc1',
    BLOCK + 'mlp.c_proj': HF_LAYER + 'mlp.fc2',
    'ln_final': 'text_model.final_layer_norm',
}
HF_RULES = (
    Rule('positional_embedding', ('text_model.embeddings.position_embedding.weight',)),
    Rule('token_embedding.weight', ('text_model.embeddings.token_embedding.weight',)),
    *(
        Rule(
            f'{BLOCK}attn.in_proj_{kind}',
            tuple(f'{HF_LAYER}self_attn.{part}_proj.{kind}' for part in 'qkv'),
        )
        for kind in ('weight', 'bias')
    ),
    *(
        Rule(f'{ours}.{kind}', (f'{theirs}.{kind}',))
        for ours, theirs in HF_MODULES.items()
        for kind in ('weight', 'bias')
    ),
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
