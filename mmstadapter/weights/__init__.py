"""Other people's weights: fetch by name, read without executing, rename by table."""

from .checksum import SHA256, checksum
from .fetch import KNOWN, is_source, known_name, locate
from .files import open_tensors, read_tensors
from .hub import ADAPTER, PREFIX, adapter_file
from .lazy import LazyTensors
from .numbers import require_numbers
from .saving import save_lazily
from .sources import SOURCES, from_ours, to_ours
from .text import load_logit_scale, load_number, load_siglip_text, load_text
from .timm import load_timm
from .visual import Fingerprint, fingerprint, load_eva_visual, load_visual

__all__ = [
    'ADAPTER',
    'Fingerprint',
    'KNOWN',
    'LazyTensors',
    'PREFIX',
    'SHA256',
    'SOURCES',
    'adapter_file',
    'checksum',
    'fingerprint',
    'from_ours',
    'is_source',
    'known_name',
    'load_eva_visual',
    'load_logit_scale',
    'load_number',
    'load_siglip_text',
    'load_text',
    'load_timm',
    'load_visual',
    'locate',
    'open_tensors',
    'read_tensors',
    'require_numbers',
    'save_lazily',
    'to_ours',
]
