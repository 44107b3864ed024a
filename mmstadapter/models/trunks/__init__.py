"""Trunks: pretrained image encoders behind a few verbs."""

from .base import Trunk
from .clip_vit import CLIPBlock, CLIPViT
from .eva_vit import EVAViT
from .hf_video_vit import HFVideoViT
from .mmpretrain_vit import MMPretrainViT
from .timm_vit import TimmViT

__all__ = ['CLIPBlock', 'CLIPViT', 'EVAViT', 'HFVideoViT', 'MMPretrainViT', 'TimmViT', 'Trunk']
