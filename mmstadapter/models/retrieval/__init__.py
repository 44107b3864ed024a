"""Text-video retrieval: retriever, similarities, losses."""

from .scoring import score

__all__ = ['score']
