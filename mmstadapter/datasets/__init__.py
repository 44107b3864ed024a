"""Videos to clips: reading, sampling, augmenting, and what to do with broken files."""

from .bad_videos import BadVideoHook
from .caption_dataset import CaptionDataset
from .loading import VideoDecode, VideoInit
from .packets import VideoReadError
from .rand_augment import RandAugment
from .readers import open_video
from .retrieval_sampling import SampleSpread
from .sampling import SampleSegments, SampleStride
from .spatial import RandomResizedSquare, RandomSquare, ResizeShortSide, SpatialViews
from .video_dataset import VideoDataset

__all__ = [
    'BadVideoHook',
    'CaptionDataset',
    'RandAugment',
    'RandomResizedSquare',
    'RandomSquare',
    'ResizeShortSide',
    'SampleSegments',
    'SampleSpread',
    'SampleStride',
    'SpatialViews',
    'VideoDataset',
    'VideoDecode',
    'VideoInit',
    'VideoReadError',
    'open_video',
]
