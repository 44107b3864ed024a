"""Models to export: of adapter files, of configs, built ones; with what makes their input."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from ..apis.adapter_model import read_model
from ..apis.classifier import VideoClassifier
from ..apis.clips import ClipTransform
from ..apis.creating import create_model
from ..engine.tuned_checkpoint import read_adapter


class Source(NamedTuple):
    """A model in float32, on the CPU, frozen, and what it is made of.

    Args:
        model: a recogniser, `VideoClassifier` or `Retriever`.
        transform: makes its clips.
        labels: names of the classes, if they are known.
        averages: how the views' scores become a video's.
        name: of the file or recipe.
    """

    model: nn.Module
    transform: ClipTransform
    labels: list[str]
    averages: str | None
    name: str


def source_of(
    model: str | Path | nn.Module, checkpoint: str | Path | None = None, **options: Any
) -> Source:
    """The model of an adapter file, of a config, or a copy of one that is built.

    Args:
        model: see :func:`export`.
        checkpoint: of a config its weights, of an adapter file the trunk's.
        options: of :func:`create_model`, for configs.

    Raises:
        TypeError: a model without ``transform``, or ``options`` where there is no config.
        ValueError, RuntimeError, FileNotFoundError: see `read_model` and `create_model`.
    """
    if isinstance(model, nn.Module):
        return _of_module(copy.deepcopy(model))
    if str(model).endswith('.safetensors'):
        return _of_adapter(Path(model), checkpoint)
    built = create_model(model, checkpoint=checkpoint, **options)
    labels: list[str] = []
    if checkpoint is not None and str(checkpoint).endswith('.safetensors'):
        labels = read_adapter(checkpoint)[1].get('labels') or []
    return _of_module(built)._replace(labels=labels, name=Path(str(model)).name)


def _of_adapter(path: Path, checkpoint: str | Path | None) -> Source:
    model, config, steps, header = read_model(path, checkpoint)
    size = getattr(model.backbone.trunk, 'img_size', None)
    preprocessor = config.get('data_preprocessor') or dict(type='ActionDataPreprocessor')
    transform = ClipTransform(steps, preprocessor, size)
    averages = getattr(getattr(model, 'cls_head', None), 'average_clips', None)
    return Source(frozen(model), transform, header.get('labels') or [], averages, path.name)


def _of_module(model: nn.Module) -> Source:
    transform = getattr(model, 'transform', None)
    if not isinstance(transform, ClipTransform):
        raise TypeError(
            f'export: {type(model).__name__} does not say what its clips are made of. Give what '
            'mmstadapter.create_model builds, an adapter file or a config with a test pipeline.'
        )
    head = getattr(model, 'cls_head', None)
    averages = getattr(head, 'average_clips', None)
    name = 'features' if isinstance(model, VideoClassifier) and head is None else 'a built model'
    return Source(frozen(model), transform, [], averages, name)


def frozen(model: nn.Module) -> nn.Module:
    """The model itself in float32, on the CPU, in evaluation mode, without gradients."""
    return model.cpu().float().eval().requires_grad_(False)
