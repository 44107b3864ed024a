"""One's own videos: a folder becomes lists and a recipe, an adapter file predicts."""

from .own_videos import VideoFolder
from .predictor import Predictor
from .recipe import Recipe

__all__ = ['Predictor', 'Recipe', 'VideoFolder']
