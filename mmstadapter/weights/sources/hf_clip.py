"""CLIP of Hugging Face's transformers: queries, keys and values apart, projections transposed.

Image towers of CLIPModel, CLIPVisionModel and CLIPVisionModelWithProjection, text towers of
CLIPModel and CLIPTextModelWithProjection.
"""

from ..clip_names import BLOCK, KINDS, renamed
from ..tables import Rule, Source

MODULES = {
    'ln_1': 'layer_norm1',
    'attn.out_proj': 'self_attn.out_proj',
    'ln_2': 'layer_norm2',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
}


def block_rules(tower: str) -> tuple[Rule, ...]:
    """The blocks of a tower, ours being CLIP's."""
    layer = tower + '.encoder.layers.{}.'
    packed = (
        Rule(
            f'{BLOCK}attn.in_proj_{kind}',
            tuple(f'{layer}self_attn.{part}_proj.{kind}' for part in 'qkv'),
        )
        for kind in KINDS
    )
    return (*renamed(MODULES, BLOCK, layer), *packed)


SOURCES = (
    Source(
        'hf-clip',
        'trunk',
        (
            Rule('class_embedding', ('vision_model.embeddings.class_embedding',)),
            Rule('positional_embedding', ('vision_model.embeddings.position_embedding.weight',)),
            Rule('conv1.weight', ('vision_model.embeddings.patch_embedding.weight',)),
            *renamed({'ln_pre': 'vision_model.pre_layrnorm'}),  # spelt so there
            *block_rules('vision_model'),
            *renamed({'ln_post': 'vision_model.post_layernorm'}),
            Rule('proj', ('visual_projection.weight',), transpose=True),
        ),
        ignored=(
            'vision_model.embeddings.position_ids',
            'text_model.*',
            'text_projection.weight',
            'logit_scale',
        ),
        optional_prefix='vision_model.',  # which a CLIPVisionModel of transformers 5 lacks
        config='config.json',
    ),
    Source(
        'hf-clip-text',
        'text',
        (
            Rule('positional_embedding', ('text_model.embeddings.position_embedding.weight',)),
            Rule('token_embedding.weight', ('text_model.embeddings.token_embedding.weight',)),
            *block_rules('text_model'),
            *renamed({'ln_final': 'text_model.final_layer_norm'}),
            Rule('text_projection', ('text_projection.weight',), transpose=True),
        ),
        ignored=(
            'text_model.embeddings.position_ids',
            'vision_model.*',
            'visual_projection.weight',
            'logit_scale',
        ),
        config='config.json',
    ),
)
