"""Text towers: token ids in, sentences and words out."""

from .clip_text import CLIPText

__all__ = ['CLIPText']
