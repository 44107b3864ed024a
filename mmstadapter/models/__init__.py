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
from .retrieval import (
    ContrastiveLoss,
    MeanPoolSimilarity,
    Retriever,
    SequentialSimilarity,
    TokenSimilarity,
    gather_rows,
    score,
)
from .text_towers import CLIPText, CLIPTokenizer, EVAText, WordTokenizer, text_mask
from .trunks import CLIPBlock, CLIPViT, EVAViT, MMPretrainViT, TimmViT, Trunk

__all__ = [
    'AttentionPool',
    'AttnPoolViT',
    'CLIPBlock',
    'CLIPText',
    'CLIPTokenizer',
    'CLIPViT',
    'ContrastiveLoss',
    'EVAText',
    'EVAViT',
    'FrameMeanViT',
    'MMPretrainViT',
    'MeanPoolSimilarity',
    'PromptViT',
    'Retriever',
    'STAdapter',
    'STAdapterViT',
    'SequentialSimilarity',
    'Side4VideoViT',
    'SideNetwork',
    'TemporalAttention',
    'TimeSformerViT',
    'TimmViT',
    'TokenSimilarity',
    'Trunk',
    'VideoHead',
    'WordTokenizer',
    'XViT',
    'gather_rows',
    'score',
    'text_mask',
]
