"""Names of a CLIP transformer's block, OpenAI's and Hugging Face's, for either tower."""

from .tables import Rule

BLOCK = 'transformer.resblocks.{}.'
KINDS = ('weight', 'bias')


def both(*modules: str) -> tuple[str, ...]:
    """Weight and bias of each module."""
    return tuple(f'{module}.{kind}' for module in modules for kind in KINDS)


BLOCK_NAMES = (
    *both(BLOCK + 'ln_1'),
    BLOCK + 'attn.in_proj_weight',
    BLOCK + 'attn.in_proj_bias',
    *both(*(BLOCK + name for name in ('attn.out_proj', 'ln_2', 'mlp.c_fc', 'mlp.c_proj'))),
)
HF_MODULES = {
    'ln_1': 'layer_norm1',
    'attn.out_proj': 'self_attn.out_proj',
    'ln_2': 'layer_norm2',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
}


def hf_rules(modules: dict[str, str]) -> tuple[Rule, ...]:
    """Weight and bias of modules, by our name and theirs."""
    return tuple(
        Rule(f'{ours}.{kind}', (f'{theirs}.{kind}',))
        for ours, theirs in modules.items()
        for kind in KINDS
    )


def hf_block_rules(tower: str) -> tuple[Rule, ...]:
    """A block of ``'vision_model'`` or ``'text_model'``: queries, keys and values are apart."""
    layer = tower + '.encoder.layers.{}.'
    return (
        *hf_rules({BLOCK + ours: layer + theirs for ours, theirs in HF_MODULES.items()}),
        *(
            Rule(
                f'{BLOCK}attn.in_proj_{kind}',
                tuple(f'{layer}self_attn.{part}_proj.{kind}' for part in 'qkv'),
            )
            for kind in KINDS
        ),
    )
