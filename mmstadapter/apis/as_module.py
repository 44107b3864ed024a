"""A built model as users hold it: with what makes its input, and the config that builds it."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import nn

from ..models.retrieval import Retriever
from .classifier import VideoClassifier
from .clips import ClipTransform, fit_size


def as_module(
    model: nn.Module,
    recipe: Config,
    features: bool = False,
    labels: Sequence[str] | None = None,
) -> VideoClassifier | Retriever:
    """A recogniser as :class:`VideoClassifier`, a retriever as it is, in evaluation mode.

    Args:
        model: a built recogniser or retriever.
        recipe: its config, see :func:`with_model`.
        features: of a recogniser, leave the classifier out.
        labels: names of the classes.

    Returns:
        The module with ``transform``, ``recipe`` and ``labels``.
    """
    steps, part = test_steps(recipe), recipe.model.get('data_preprocessor')
    transform = ClipTransform(steps, part or dict(type='ActionDataPreprocessor')) if steps else None
    made = model if isinstance(model, Retriever) else VideoClassifier(model, features=features)
    made.transform, made.recipe, made.labels = transform, recipe, labels
    return made.eval()


def with_model(config: Config, model: Mapping[str, Any], built: nn.Module) -> Config:
    """A config with the model that was built, and its test pipeline at the size of its frames.

    Args:
        config: what the model began with.
        model: the config that it was built from; its parts may be modules.
        built: that model.
    """
    recipe = Config({key: value for key, value in config.items() if key != 'model'})
    recipe.model = dict(model)
    steps = test_steps(config)
    if steps:
        trunk = getattr(built.backbone, 'trunk', None)
        loader = dict(dataset=dict(pipeline=fit_size(steps, getattr(trunk, 'img_size', None))))
        recipe.test_dataloader = loader
    return recipe


def test_steps(config: Config) -> list[dict[str, Any]]:
    """The steps of the test pipeline, or of the validation's; none if it has neither."""
    loader = config.get('test_dataloader') or config.get('val_dataloader') or {}
    return [dict(step) for step in loader.get('dataset', {}).get('pipeline') or ()]
