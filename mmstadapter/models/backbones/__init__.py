"""Backbones, one file a paper: clips in, features out."""

# ruff: noqa: F401  (every class imported here is public, and the package's own names as well)

from .aim import AIMViT
from .attentive_pooler import AttentivePooler
from .attn_pool import AttentionPool, AttnPoolViT
from .dist import DiSTViT
from .evl import EVLViT
from .frame_mean import FrameMeanViT
from .probe import ProbeViT
from .prompt import PromptViT
from .shared_trunk import FrameMean, SharedTrunkViT
from .side4video import Side4VideoViT, SideNetwork
from .st_adapter import STAdapter, STAdapterViT
from .tds_clip import TDSCLIPViT
from .temp_me import TempMeViT
from .timesformer import TemporalAttention, TimeSformerViT
from .xvit import XViT
from .zeroi2v import ZeroI2VViT

__all__ = [name for name, value in globals().items() if isinstance(value, type)]
