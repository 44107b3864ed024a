"""Backbones, one file a paper: clips in, features out."""

from .frame_mean import FrameMeanViT
from .st_adapter import STAdapter, STAdapterViT

__all__ = ['FrameMeanViT', 'STAdapter', 'STAdapterViT']
