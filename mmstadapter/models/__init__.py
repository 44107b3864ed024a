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
from .text_towers import CLIPText, CLIPTokenizer, EVAText, WordTokenizer, text_mask
from .trunks import CLIPBlock, CLIPViT, MMPretrainViT, TimmViT, Trunk

__all__ = [
    'AttentionPool',
    'AttnPoolViT',
    'CLIPBlock',
    'CLIPText',
    'CLIPTokenizer',
    'CLIPViT',
    'EVAText',
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
    'WordTokenizer',
    'XViT',
    'score',
    'text_mask',
]
