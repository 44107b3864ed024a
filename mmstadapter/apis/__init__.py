"""One's own videos: a folder becomes lists and a recipe, an adapter file predicts."""

from .checking import CheckReport, check_videos
from .classifier import VideoClassifier
from .clips import ClipTransform
from .creating import create_model, list_models
from .finished import Fitted
from .fitted import fit
from .own_videos import VideoFolder
from .predictor import Predictor
from .recipe import Recipe

__all__ = [
    'CheckReport',
    'ClipTransform',
    'Fitted',
    'Predictor',
    'Recipe',
    'VideoClassifier',
    'VideoFolder',
    'check_videos',
    'create_model',
    'fit',
    'list_models',
]
