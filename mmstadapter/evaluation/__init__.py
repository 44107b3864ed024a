"""Metrics."""

from .accuracy import VideoAccMetric
from .base_to_novel import BaseToNovelMetric
from .bootstrap import bootstrap_intervals
from .dsl import dual_softmax
from .feature_metrics import feature_metrics
from .features import RetrievalFeatures
from .multi_task import MultiTaskMetric
from .probes import ProbesMetric, SweepMetric
from .qb_norm import querybank_norm
from .ranking import Ranks, text_to_video_ranks, video_to_text_ranks
from .recall import retrieval_metrics
from .similarity import similarity_matrix
from .text_video_metric import TextVideoMetric

__all__ = [
    'BaseToNovelMetric',
    'MultiTaskMetric',
    'ProbesMetric',
    'SweepMetric',
    'RetrievalFeatures',
    'TextVideoMetric',
    'VideoAccMetric',
]
__all__ += ['bootstrap_intervals', 'dual_softmax', 'feature_metrics', 'querybank_norm']
__all__ += ['Ranks', 'retrieval_metrics', 'similarity_matrix', 'text_to_video_ranks']
__all__ += ['video_to_text_ranks']
