"""PE-Core: the image tower in open_clip's and timm's files, under timm's names.

`TimmViT` reads the authors' own files too, by timm's conversion. The text tower is named as
CLIP's: `open_clip-module-text` and, in the authors' files, `openai-clip-text`.
"""

from ..clip_names import both, same
from ..tables import Source
from .siglip import BLOCK, NUMBERS, PARTS, POOL

TRUNK_NAMES = (
    'cls_token',
    'pos_embed',
    'patch_embed.proj.weight',
    *both('norm_pre', *(BLOCK + part for part in PARTS), 'norm'),
    'attn_pool.latent',
    *both(*POOL, 'head'),
)

SOURCES = (
    Source(
        'pe-open_clip',
        'pe-trunk',
        same(TRUNK_NAMES, theirs='visual.trunk.'),
        ignored=('text.*', *NUMBERS),
        optional_prefix='visual.trunk.',
    ),
)
