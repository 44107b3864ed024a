"""V-JEPA 2's attentive probes: one, and several that were trained side by side."""

from ..clip_names import renamed
from ..tables import AxesRule, Rule, Source

MAX_BLOCKS = 32  # before the one that pools
BLOCK = {
    'ln_1': 'norm1',
    'attn.out_proj': 'attn.proj',
    'ln_2': 'norm2',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
}
POOL = {
    'ln_1': 'norm1',
    'attn.q': 'xattn.q',
    'attn.kv': 'xattn.kv',
    'ln_2': 'norm2',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
    'q': 'q',  # attention alone, ``complete_block=False``
    'kv': 'kv',
}


def _probe(ours: str, head: str, theirs: str) -> tuple[Rule, ...]:
    """A probe and its classifier, by what their names begin with."""
    rules: list[Rule] = [AxesRule(f'{ours}query', (f'{theirs}pooler.query_tokens',), before=1)]
    rules += renamed(POOL, f'{ours}pool.', f'{theirs}pooler.cross_attention_block.')
    for j in range(MAX_BLOCKS):
        here, there = f'{ours}blocks.{j}.', f'{theirs}pooler.blocks.{j}.'
        rules += renamed(BLOCK, here, there)
        rules += [
            Rule(f'{here}attn.in_proj_{part}', (f'{there}attn.qkv.{part}',))
            for part in ('weight', 'bias')
        ]
    return (*rules, *renamed({f'{head}fc_cls': f'{theirs}linear'}))


def _source(name: str, *begin: str) -> Source:
    return Source(
        name,
        'model',
        _probe(*begin),
        ignored_ours=('backbone.trunk.*',),
        container='classifiers',
    )


SOURCES = (
    _source('vjepa2-probe', 'backbone.probes.0.', 'cls_head.', ''),
    _source('vjepa2-probes', 'backbone.probes.{}.', 'cls_head.heads.{}.', 'classifiers.{}.'),
)
