"""Other people's weights: fetch by name, read without executing, rename by table."""

from .fetch import locate
from .files import read_tensors
from .sources import SOURCES, from_ours, to_ours
from .text import load_logit_scale, load_text
from .visual import fingerprint, load_visual

__all__ = [
    'SOURCES',
    'fingerprint',
    'from_ours',
    'load_logit_scale',
    'load_text',
    'load_visual',
    'locate',
    'read_tensors',
    'to_ours',
]
