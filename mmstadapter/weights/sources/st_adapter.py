"""Official ST-Adapter: the trained parameters alone, or a whole model of the same names."""

from ..clip_names import BLOCK, TRUNK_NAMES, both, renamed, same
from ..tables import Source

POSITIONS = dict(before_attn='adapter_pre_attn', after_attn='adapter_pre_mlp')
ADAPTER = both('fc1', 'conv', 'fc2')

SOURCES = (
    Source(
        'st-adapter',
        'model',
        (
            *same(TRUNK_NAMES, ours='backbone.trunk.'),
            *(
                rule
                for ours, theirs in POSITIONS.items()
                for rule in same(ADAPTER, f'backbone.{ours}.{{}}.', f'{BLOCK}{theirs}.')
            ),
            *renamed({'cls_head.fc_cls': 'fc'}),
        ),
        ignored_ours=('backbone.trunk.fingerprint',),
        container='model',
    ),
)
