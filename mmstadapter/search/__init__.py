"""Search: a folder of videos becomes an index, a sentence finds segments in it."""

from .folder import IndexReport, index_videos
from .model import SearchModel
from .storage import VideoIndexError
from .video_index import Hit, VideoIndex
from .video_search import VideoSearch

__all__ = [
    'Hit',
    'IndexReport',
    'SearchModel',
    'VideoIndex',
    'VideoIndexError',
    'VideoSearch',
    'index_videos',
]
