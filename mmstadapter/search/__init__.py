"""Search: a folder of videos becomes an index, a sentence or example finds segments in it."""

from .asking import Asked, Query
from .choosing import Hit, Wanted
from .exporting import export_index
from .folder import IndexReport, index_videos
from .model import SearchModel
from .storage import VideoIndexError
from .video_index import VideoIndex
from .video_search import VideoSearch

__all__ = [
    'Asked',
    'Hit',
    'IndexReport',
    'Query',
    'SearchModel',
    'VideoIndex',
    'VideoIndexError',
    'VideoSearch',
    'Wanted',
    'export_index',
    'index_videos',
]
