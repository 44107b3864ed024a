"""Official EVL: decoder and classifier; its frozen trunk is in no file."""

from ..clip_names import renamed
from ..tables import AxesRule, Rule, Source

LAYER = 'backbone.layers.{}.'
# our name -> theirs, weights and biases of a decoder layer
MODULES = {
    **{f'attn.{name}': f'attn.{name}' for name in ('q_proj', 'k_proj', 'v_proj', 'out_proj')},
    **{f'fc{n}': f'mlp.fc{n}' for n in (1, 2)},
    **{f'ln_{n}': f'norm{n}' for n in (1, 2, 3)},
}
SOURCES = (
    Source(
        'evl',
        'model',
        (
            Rule('backbone.query', ('decoder.cls_token',)),
            *renamed(MODULES, LAYER, 'decoder.decoder_layers.{}.'),
            AxesRule(f'{LAYER}conv.weight', ('decoder.temporal_conv.{}.weight',), after=-2),
            Rule(f'{LAYER}conv.bias', ('decoder.temporal_conv.{}.bias',)),
            Rule(f'{LAYER}time_embed', ('decoder.temporal_pos_embed.{}',)),
            Rule(f'{LAYER}tables.before', ('decoder.cross_attention.{}.w1',)),
            Rule(f'{LAYER}tables.after', ('decoder.cross_attention.{}.w2',)),
            *renamed({'backbone.ln': 'proj.0', 'cls_head.fc_cls': 'proj.2'}),
        ),
        ignored_ours=('backbone.trunk.*',),
        container='model',
    ),
)
