"""Official DiST: a whole model, CLIP's two towers and what is trained beside them."""

from ..clip_names import BLOCK_PARTS, TEXT_NAMES, TRUNK_NAMES, renamed, same
from ..tables import AxesRule, Rule, Source

THEIRS, NET = 'backbone.base_encoder.', 'backbone.base_encoder.dist_net.'
LAYER, POOLING = 'backbone.layers.{}.', 'backbone.poolings.{}.'
# A layer: our module -> theirs, whose number stands in the midst.
MODULES = {
    'temporal.ln': 'temporal_nets.{}.ln',
    'temporal.time': 'temporal_nets.{}.temporal_net.c_fc1',
    'temporal.space': 'temporal_nets.{}.temporal_net.c_fc2',
    'down': 'input_linears.{}',
    'to_temporal': 'integration2temporal_nets.{}.linear_fuse',
    'from_temporal': 'temporal2integration_nets.{}.linear_fuse',
    'ln_1': 'integration_nets.{}.ln',
    'ln_2': 'integration_nets.{}.ln_temporal',
    'mlp.c_fc': 'integration_nets.{}.ffn.c_fc',
    'mlp.c_proj': 'integration_nets.{}.ffn.c_proj',
    'time_mlp.conv': 'integration_nets.{}.temporal_ffn.c_fc2',
}
POINTWISE = {'time_mlp.fc1': 'c_fc1', 'time_mlp.fc2': 'c_proj'}
# A pooling layer: what reads -> its attention, its MLP and the norm before that.
READERS = dict(
    space=('spatial_transformer', 'output_map_spatial_cls_token', 'ln_out_spat_cls_token'),
    time=('temporal_transformer', 'output_map_cls_token', 'ln_out_temp_cls_token'),
)


def _pointwise() -> tuple[Rule, ...]:
    """Linear maps of ours that are 1x1x1 convolutions there."""
    head = 'integration_nets.{}.temporal_ffn.'
    return (
        *(
            AxesRule(f'{LAYER}{ours}.weight', (f'{NET}{head}{theirs}.weight',), after=3)
            for ours, theirs in POINTWISE.items()
        ),
        *renamed(POINTWISE, LAYER, NET + head, ('bias',)),
    )


def _pooling() -> tuple[Rule, ...]:
    """The two readers of a pooling layer, each a block of CLIP's of ours."""
    rules: list[Rule] = []
    for ours, (attention, mlp, norm) in READERS.items():
        here, there = f'{POOLING}{ours}.', NET + 'adapooling_nets.{}.'
        parts = [part for part in BLOCK_PARTS if part.startswith(('ln_1.', 'attn.'))]
        rules += same(parts, here, f'{there}{attention}.')
        rules += renamed(
            {'ln_2': norm, 'mlp.c_fc': f'{mlp}.c_fc', 'mlp.c_proj': f'{mlp}.c_proj'}, here, there
        )
    return tuple(rules)


SOURCES = (
    Source(
        'dist',
        'model',
        (
            *same((*TRUNK_NAMES, 'proj'), 'backbone.trunk.', THEIRS + 'visual.'),
            *same(TEXT_NAMES, 'cls_head.text_tower.', THEIRS),
            Rule('cls_head.logit_scale', (THEIRS + 'logit_scale',)),
            *renamed({'stem': 'temporal_stem'}, 'backbone.', NET),
            *renamed(MODULES, LAYER, NET),
            *_pointwise(),
            AxesRule(
                LAYER + 'cls_token', (NET + 'temporal2integration_nets.{}.cls_token',), before=2
            ),
            *_pooling(),
            AxesRule(
                POOLING + 'positions', (NET + 'adapooling_nets.{}.positional_embedding',), before=1
            ),
            AxesRule('backbone.query', (NET + 'aggregated_cls_token',), before=2),
            AxesRule('backbone.frame_query', (NET + 'aggregated_spatial_cls_token',), before=2),
            *renamed({'cls_proj': 'proj_spatial_cls_token', 'ln': 'ln_post'}, 'backbone.', NET),
            Rule('backbone.proj.weight', (NET + 'proj',), transpose=True),
        ),
        ignored_ours=('backbone.trunk.fingerprint', 'cls_head.text_tower.fingerprint'),
        container='model_state',
    ),
)
