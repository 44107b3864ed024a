"""Trunks, backbones, heads and text towers, registered with MMAction2."""

from .backbones import FrameMeanViT, STAdapter, STAdapterViT
from .heads import VideoHead
from .text_towers import CLIPText
from .trunks import CLIPBlock, CLIPViT, Trunk

__all__ = [
    'CLIPBlock',
    'CLIPText',
    'CLIPViT',
    'FrameMeanViT',
    'STAdapter',
    'STAdapterViT',
    'Trunk',
    'VideoHead',
]
