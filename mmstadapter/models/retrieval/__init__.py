"""Text-video retrieval: retriever, similarities, losses."""

from .gather import gather_rows
from .losses import ContrastiveLoss
from .retriever import Retriever
from .scoring import score
from .sigmoid_loss import SigmoidLoss
from .similarity import MeanPoolSimilarity, SequentialSimilarity, TokenSimilarity

__all__ = [
    'ContrastiveLoss',
    'MeanPoolSimilarity',
    'Retriever',
    'SequentialSimilarity',
    'SigmoidLoss',
    'TokenSimilarity',
    'gather_rows',
    'score',
]
