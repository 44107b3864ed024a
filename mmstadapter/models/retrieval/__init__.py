"""Text-video retrieval: retriever, similarities, losses."""

from .gather import gather_rows
from .losses import ContrastiveLoss
from .retriever import Retriever
from .scoring import score
from .similarity import MeanPoolSimilarity, SequentialSimilarity, TokenSimilarity

__all__ = [
    'ContrastiveLoss',
    'MeanPoolSimilarity',
    'Retriever',
    'SequentialSimilarity',
    'TokenSimilarity',
    'gather_rows',
    'score',
]
