"""CLIP's names as OpenAI gave them, which are ours, and tables of rules made from names."""

from collections.abc import Iterable, Mapping

from .tables import Rule

KINDS = ('weight', 'bias')


def both(*modules: str) -> tuple[str, ...]:
    """Weight and bias of each module."""
    return tuple(f'{module}.{kind}' for module in modules for kind in KINDS)


BLOCK = 'transformer.resblocks.{}.'
BLOCK_PARTS = (
    *both('ln_1'),
    'attn.in_proj_weight',
    'attn.in_proj_bias',
    *both('attn.out_proj', 'ln_2', 'mlp.c_fc', 'mlp.c_proj'),
)
BLOCK_NAMES = tuple(BLOCK + part for part in BLOCK_PARTS)
TRUNK_NAMES = (
    'class_embedding',
    'positional_embedding',
    'conv1.weight',
    *both('ln_pre'),
    *BLOCK_NAMES,
    *both('ln_post'),
)
TEXT_NAMES = (
    'positional_embedding',
    'token_embedding.weight',
    *BLOCK_NAMES,
    *both('ln_final'),
    'text_projection',
)


def same(names: Iterable[str], ours: str = '', theirs: str = '') -> tuple[Rule, ...]:
    """Names that differ in what they begin with alone: ``ours`` and ``theirs``."""
    return tuple(Rule(ours + name, (theirs + name,)) for name in names)


def renamed(
    modules: Mapping[str, str],
    ours: str = '',
    theirs: str = '',
    kinds: Iterable[str] = KINDS,
    rule: type[Rule] = Rule,
) -> tuple[Rule, ...]:
    """Weight and bias of modules, by our name and theirs, after ``ours`` and ``theirs``."""
    return tuple(
        rule(f'{ours}{here}.{kind}', (f'{theirs}{there}.{kind}',))
        for here, there in modules.items()
        for kind in kinds
    )
