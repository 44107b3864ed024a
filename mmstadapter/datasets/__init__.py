"""Videos to clips: reading, sampling, augmenting, and what to do with broken files."""

from .bad_videos import BadVideoHook
from .caption_dataset import CaptionDataset
from .caption_groups import CaptionGroupSampler
from .dist_sampling import SampleEvenly
from .feature_cache import ReadFeatures
from .loading import VideoDecode, VideoInit
from .middle_clips import SampleMiddles
from .neighbours import AddNeighbours
from .packets import VideoReadError
from .pca_noise import PCANoise
from .rand_augment import RandAugment
from .rawframe_dataset import RawframeDataset
from .readers import open_video
from .repeated import flat_collate
from .retrieval_sampling import SampleSpread
from .sampling import SampleSegments, SampleStride
from .side4video_sampling import SampleSide4Video
from .side4video_spatial import PILRandomSquare, PILResize, RandomGrey
from .spatial import RandomResizedSquare, RandomSquare, ResizeShortSide, SpatialViews
from .video_dataset import VideoDataset

__all__ = [
    'AddNeighbours',
    'BadVideoHook',
    'CaptionDataset',
    'CaptionGroupSampler',
    'PCANoise',
    'PILRandomSquare',
    'PILResize',
    'RandAugment',
    'RandomGrey',
    'RandomResizedSquare',
    'RandomSquare',
    'RawframeDataset',
    'ReadFeatures',
    'ResizeShortSide',
    'SampleEvenly',
    'SampleMiddles',
    'SampleSegments',
    'SampleSide4Video',
    'SampleSpread',
    'SampleStride',
    'SpatialViews',
    'VideoDataset',
    'VideoDecode',
    'VideoInit',
    'VideoReadError',
    'flat_collate',
    'open_video',
]
