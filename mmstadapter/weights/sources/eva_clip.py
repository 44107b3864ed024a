"""EVA-CLIP: its own files, open_clip's, whose image tower is timm's, and timm's."""

from pathlib import Path

from ..clip_names import TEXT_NAMES, both, same
from ..tables import Source

BLOCK = 'blocks.{}.'
TRUNK_NAMES = (
    'cls_token',
    'pos_embed',
    *both('patch_embed.proj', BLOCK + 'norm1'),
    *(f'{BLOCK}attn.{name}' for name in ('q_bias', 'v_bias', 'qkv.weight')),
    *both(*(BLOCK + name for name in ('attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2'))),
    *both('norm', 'head'),
)
VISUAL = (
    'visual.cls_token',
    'visual.pos_embed',
    'visual.patch_embed.*',
    'visual.blocks.*',
    'visual.rope.*',
    'visual.norm.*',
    'visual.head.*',
)


def _image(name: str, prefix: str) -> Source:
    ignored = ('text.*', 'logit_scale', 'logit_bias')
    rules = same(TRUNK_NAMES, theirs=prefix)
    return Source(name, 'eva-trunk', rules, ignored, optional_prefix=prefix)


def _require_gelu(path: Path, activation: str) -> None:
    if activation != 'gelu':
        raise ValueError(
            f'load_text: {path} is a file of EVA-CLIP, whose text tower has the exact GELU; the '
            f'model computes {activation!r} and would give wrong features. Set model.text_tower '
            "to dict(type='mmstadapter.EVAText', ...)."
        )


SOURCES = (
    _image('eva-clip', 'visual.'),  # without the prefix also timm's
    _image('eva-open_clip', 'visual.trunk.'),
    Source(
        'eva-clip-text',
        'text',
        same(TEXT_NAMES, theirs='text.'),
        ignored=(*VISUAL, 'text.attn_mask', 'logit_scale'),
        require=_require_gelu,
    ),
)
