"""SigLIP and SigLIP 2: open_clip's files and those of Hugging Face's transformers.

The image tower is timm's transformer with attention pooling, under timm's names, which are what
`TimmViT` reads; without their prefix open_clip's names are timm's own. The text tower is
`SigLIPText`. Hugging Face's are SiglipModel and its towers alone, not the variable resolution of
Siglip2Model (NaFlex).
"""

from dataclasses import replace

from ..clip_names import KINDS, TEXT_NAMES, both, renamed, same
from ..tables import AxesRule, RowsRule, Rule, Source
from .hf_clip import block_rules

BLOCK = 'blocks.{}.'
PARTS = ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')
POOL = tuple(f'attn_pool.{name}' for name in ('q', 'kv', 'proj', 'norm', 'mlp.fc1', 'mlp.fc2'))
TRUNK_NAMES = (
    'pos_embed',
    *both('patch_embed.proj', *(BLOCK + part for part in PARTS), 'norm'),
    'attn_pool.latent',
    *both(*POOL),
)
TEXT = (*(n for n in TEXT_NAMES if n != 'text_projection'), *both('text_projection'))
NUMBERS = ('logit_scale', 'logit_bias')

HF_BLOCK = {
    'norm1': 'layer_norm1',
    'attn.proj': 'self_attn.out_proj',
    'norm2': 'layer_norm2',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
}
HF_POOL = {
    'proj': 'attention.out_proj',
    'norm': 'layernorm',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
}


def _hf_image() -> tuple[Rule, ...]:
    layer, pool = 'encoder.layers.{}.', 'head.attention.in_proj_'
    rules = (
        AxesRule('pos_embed', ('embeddings.position_embedding.weight',), before=-1),
        *renamed({'patch_embed.proj': 'embeddings.patch_embedding', 'norm': 'post_layernorm'}),
        *renamed(HF_BLOCK, BLOCK, layer),
        *(
            Rule(f'{BLOCK}attn.qkv.{k}', tuple(f'{layer}self_attn.{p}_proj.{k}' for p in 'qkv'))
            for k in KINDS
        ),
        Rule('attn_pool.latent', ('head.probe',)),
        *(RowsRule(f'attn_pool.q.{k}', (pool + k,), first=0, last=1, of=3) for k in KINDS),
        *(RowsRule(f'attn_pool.kv.{k}', (pool + k,), first=1, last=3, of=3) for k in KINDS),
        *renamed(HF_POOL, 'attn_pool.', 'head.'),
    )
    return tuple(
        replace(rule, theirs=tuple(f'vision_model.{name}' for name in rule.theirs))
        for rule in rules
    )


SOURCES = (
    Source(
        'siglip-open_clip',
        'siglip-trunk',
        same(TRUNK_NAMES, theirs='visual.trunk.'),
        ignored=('text.*', *NUMBERS),
        optional_prefix='visual.trunk.',  # which timm's own files lack
    ),
    Source(
        'siglip-hf',
        'siglip-trunk',
        _hf_image(),
        ignored=('text_model.*', 'vision_model.embeddings.position_ids', *NUMBERS),
        optional_prefix='vision_model.',  # as `hf-clip`
    ),
    Source(
        'siglip-open_clip-text',
        'siglip-text',
        same(TEXT, theirs='text.'),
        ignored=('visual.trunk.*', *NUMBERS),
    ),
    Source(
        'siglip-hf-text',
        'siglip-text',
        (
            Rule('positional_embedding', ('text_model.embeddings.position_embedding.weight',)),
            Rule('token_embedding.weight', ('text_model.embeddings.token_embedding.weight',)),
            *block_rules('text_model'),
            *renamed(
                {'ln_final': 'text_model.final_layer_norm', 'text_projection': 'text_model.head'}
            ),
        ),
        ignored=('vision_model.*', 'text_model.embeddings.position_ids', *NUMBERS),
    ),
)
