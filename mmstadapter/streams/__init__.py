"""Labels over time: long videos in windows, and streams frame by frame."""

from .over_time import Timeline, timeline
from .segments import Segment
from .stream import Stream

__all__ = ['Segment', 'Stream', 'Timeline', 'timeline']
