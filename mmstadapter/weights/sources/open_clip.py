"""open_clip's CLIP, whose text tower may be a module of its own (CustomTextCLIP)."""

from ..clip_names import TEXT_NAMES, same
from ..tables import Source
from .openai_clip import IMAGE_RULES, TEXT, TEXT_RULES

SCALES = ('logit_scale', 'logit_bias')
VISUAL = (  # of open_clip's own transformers, and of timm's
    'visual.conv1.*',
    'visual.class_embedding',
    'visual.positional_embedding',
    'visual.ln_pre.*',
    'visual.transformer.*',
    'visual.ln_post.*',
    'visual.proj',
    'visual.attn_pool.*',
    'visual.trunk.*',
    'visual.head.proj.*',
)
MODULE_TEXT_RULES = same(TEXT_NAMES, theirs='text.')

SOURCES = (
    Source(  # image towers of timm have other names and are not CLIPViTs
        'open_clip',
        'trunk',
        IMAGE_RULES,
        ignored=(*TEXT, 'text.*', 'attn_mask', 'logit_bias'),
        optional_prefix='visual.',
    ),
    Source('open_clip-text', 'text', TEXT_RULES, ignored=('visual.*', 'attn_mask', *SCALES)),
    Source(
        'open_clip-module-text',
        'text',
        MODULE_TEXT_RULES,
        ignored=(*VISUAL, 'text.attn_mask', *SCALES),
    ),
)
