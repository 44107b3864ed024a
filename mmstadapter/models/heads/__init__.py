"""Heads: pooled features to class scores."""

from .multi_task_head import MultiTaskHead
from .text_head import TextHead
from .video_head import VideoHead

__all__ = ['MultiTaskHead', 'TextHead', 'VideoHead']
