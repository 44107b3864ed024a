"""Trunks, backbones, heads, text towers and retrievers, registered with MMAction2."""

from .backbones import (
    AttentionPool,
    AttnPoolViT,
    FrameMeanViT,
    PromptViT,
    Side4VideoViT,
    SideNetwork,
    STAdapter,
    STAdapterViT,
    TemporalAttention,
    TimeSformerViT,
    XViT,
)
from .heads import VideoHead
from .retrieval import score
from .text_towers import CLIPText, CLIPTokenizer, EVAText, WordTokenizer, text_mask
from .trunks import CLIPBlock, CLIPViT, EVAViT, MMPretrainViT, TimmViT, Trunk

__all__ = [
    'AttentionPool',
    'AttnPoolViT',
    'CLIPBlock',
    'CLIPText',
    'CLIPTokenizer',
    'CLIPViT',
    'EVAText',
    'EVAViT',
    'FrameMeanViT',
    'MMPretrainViT',
    'PromptViT',
    'STAdapter',
    'STAdapterViT',
    'Side4VideoViT',
    'SideNetwork',
    'TemporalAttention',
    'TimeSformerViT',
    'TimmViT',
    'Trunk',
    'VideoHead',
    'WordTokenizer',
    'XViT',
    'score',
    'text_mask',
]
