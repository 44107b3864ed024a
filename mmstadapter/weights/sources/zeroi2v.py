"""Official ZeroI2V, before and after merging, which removes the adapters."""

from ..clip_names import BLOCK, TRUNK_NAMES, same
from .aim import THEIRS, recogniser

ADAPTERS = {
    'attn_in.{}': 'T_Adapter_in',
    'attn_out.{}': 'S_Adapter',
    'mlp_in.{}': 'MLP_Adapter',
    'mlp_out.{}': 'MLP_Adapter_out',
}
APART = {f'attn_qkv.{{}}.{x}': f'T_Adapter_in_{x}' for x in 'qkv'}

SOURCES = (
    recogniser('zeroi2v', same(TRUNK_NAMES, 'backbone.trunk.', THEIRS), BLOCK, ADAPTERS | APART),
)
