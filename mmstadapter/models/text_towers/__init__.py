"""Text towers: captions to token ids, token ids to sentences and words."""

from .clip_text import CLIPText, EVAText
from .clip_tokenizer import CLIPTokenizer
from .packing import text_mask
from .pe_text import PEText
from .siglip_text import SigLIPText
from .siglip_tokenizer import SigLIPTokenizer
from .temp_me_text import TempMeText
from .word_tokenizer import WordTokenizer

__all__ = [
    'CLIPText',
    'CLIPTokenizer',
    'EVAText',
    'PEText',
    'SigLIPText',
    'SigLIPTokenizer',
    'TempMeText',
    'WordTokenizer',
    'text_mask',
]
