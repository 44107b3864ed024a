"""Heads: pooled features to class scores."""

from .video_head import VideoHead

__all__ = ['VideoHead']
