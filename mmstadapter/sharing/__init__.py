"""Trained models by name: folders and repositories of an adapter file, its config and a card."""

from .loading import from_pretrained
from .pushing import push_to_hub
from .saving import save_pretrained

__all__ = ['from_pretrained', 'push_to_hub', 'save_pretrained']
