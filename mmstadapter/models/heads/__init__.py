"""Heads: pooled features to class scores."""

from .multi_task_head import MultiTaskHead
from .video_head import VideoHead

__all__ = ['MultiTaskHead', 'VideoHead']
