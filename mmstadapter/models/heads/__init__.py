"""Heads: pooled features to class scores."""

from .multi_task_head import MultiTaskHead
from .probes_head import ProbesHead
from .sweep_head import SweepHead, SweepRecognizer
from .text_head import TextHead
from .video_head import VideoHead

__all__ = ['MultiTaskHead', 'ProbesHead', 'SweepHead', 'SweepRecognizer', 'TextHead', 'VideoHead']
