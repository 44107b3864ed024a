"""One's own videos: a folder becomes lists and a recipe, an adapter file predicts."""

from .checking import CheckReport, check_videos
from .own_videos import VideoFolder
from .predictor import Predictor
from .recipe import Recipe

__all__ = ['CheckReport', 'Predictor', 'Recipe', 'VideoFolder', 'check_videos']
