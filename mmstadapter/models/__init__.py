"""Trunks, backbones, heads, text towers and retrievers, registered with MMAction2."""

from .backbones import (
    AttentionPool,
    AttnPoolViT,
    FrameMeanViT,
    PromptViT,
    STAdapter,
    STAdapterViT,
    TemporalAttention,
    TimeSformerViT,
    XViT,
)
from .heads import VideoHead
from .retrieval import score
from .text_towers import CLIPText
from .trunks import CLIPBlock, CLIPViT, MMPretrainViT, TimmViT, Trunk

__all__ = [
    'AttentionPool',
    'AttnPoolViT',
    'CLIPBlock',
    'CLIPText',
    'CLIPViT',
    'FrameMeanViT',
    'MMPretrainViT',
    'PromptViT',
    'STAdapter',
    'STAdapterViT',
    'TemporalAttention',
    'TimeSformerViT',
    'TimmViT',
    'Trunk',
    'VideoHead',
    'XViT',
    'score',
]
