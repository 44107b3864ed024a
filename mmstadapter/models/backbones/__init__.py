"""Backbones, one file a paper: clips in, features out."""

from .attn_pool import AttentionPool, AttnPoolViT
from .frame_mean import FrameMeanViT
from .prompt import PromptViT
from .shared_trunk import FrameMean, SharedTrunkViT
from .side4video import Side4VideoViT, SideNetwork
from .st_adapter import STAdapter, STAdapterViT
from .timesformer import TemporalAttention, TimeSformerViT
from .xvit import XViT

__all__ = [
    'AttentionPool',
    'AttnPoolViT',
    'FrameMean',
    'FrameMeanViT',
    'PromptViT',
    'STAdapter',
    'STAdapterViT',
    'SharedTrunkViT',
    'Side4VideoViT',
    'SideNetwork',
    'TemporalAttention',
    'TimeSformerViT',
    'XViT',
]
