"""Official TDS-CLIP: Side4Video's names, and those of its second stem and its gates."""

from dataclasses import replace

from ..clip_names import renamed
from ..tables import AxesRule
from .side4video import BLOCK, NORM, SIDE
from .side4video import SOURCES as SIDE4VIDEO

GATE, THEIRS = BLOCK + 'gate.', 'visual.transformer.side_transformer.{}.mse.'
[CLIP] = (source for source in SIDE4VIDEO if source.name == 'side4video-clip')
SOURCES = (
    replace(
        CLIP,
        name='tds-clip',
        rules=(
            *CLIP.rules,
            *renamed({'stem.diff_conv': 'side_conv1_c5'}, SIDE, 'visual.'),
            *renamed({'stem.diff_norm': 'side_pre_bn3d_c5'}, SIDE, 'visual.', NORM),
            AxesRule(GATE + 'down.weight', (THEIRS + 'conv1.weight',), after=2),
            AxesRule(GATE + 'up.weight', (THEIRS + 'conv2.weight',), after=2),
            *renamed({'bn_1': 'bn1', 'bn_2': 'bn2'}, GATE, THEIRS, NORM),
        ),
    ),
)
