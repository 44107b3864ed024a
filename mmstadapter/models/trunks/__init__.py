"""Trunks: pretrained image encoders behind a few verbs."""

from .base import Trunk
from .clip_vit import CLIPBlock, CLIPViT

__all__ = ['CLIPBlock', 'CLIPViT', 'Trunk']
