"""Models for notebooks and scripts: by the name of a recipe, as plain modules."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from mmaction.models.recognizers import Recognizer3D
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from .. import shipped, weights
from ..config_fields import FIELDS, places
from ..models.retrieval import Retriever
from .as_module import as_module, with_model
from .building import build_model, config_of
from .classifier import VideoClassifier
from .device import choose_device


def list_models(patterns: str | Sequence[str] = '*') -> list[str]:
    """Names of the shipped recipes that fit a pattern, or one of several; sorted.

    list_models('*msrvtt*')
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    names = [name.removesuffix('.py') for name in shipped.configs()]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def create_model(
    name: str | Path | Mapping[str, Any] | Config,
    *,
    num_classes: int | None = None,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    new_head: bool = False,
    trunk: Mapping[str, Any] | nn.Module | None = None,
    text_tower: Mapping[str, Any] | nn.Module | None = None,
    device: str | torch.device | None = 'cpu',
    options: Mapping[str, Any] | None = None,
    **backbone: Any,
) -> VideoClassifier | Retriever:
    """The model of a recipe, in evaluation mode; call ``train()`` before training it.

        model = mmstadapter.create_model('stadapter_vit-b_k400', num_classes=7)
        scores = model(model.transform('a.mp4'))     # (views, 7)

    For recognition a :class:`VideoClassifier`: ``model(video)`` takes normalised clips
    (B, 3, T, H, W) and gives the classes' scores (B, num_classes). For retrieval a
    :class:`Retriever`: ``encode_videos(video)`` takes the same clips, ``encode_captions(texts)``
    a list of sentences, and ``mmstadapter.score(texts, videos)`` compares what they give;
    ``model(video)`` is ``encode_videos``. Both have ``transform``, a :class:`ClipTransform`,
    which makes clips of a file or of uint8 frames and says T, size, mean and std, and
    ``recipe``, the config that builds the model again, for :func:`save_pretrained`.

    Args:
        name: of a shipped recipe, see :func:`list_models`, or the path of a config, or a config.
            Its ``load_from``, where training starts, is not read.
        num_classes: of the classifier; the recipe's if None; 0 leaves it out, and the model
            gives features.
        pretrained: read the pretrained files of the recipe's trunk and text tower; a known
            name, such as OpenAI's CLIP, is fetched once. False leaves them random.
        checkpoint: trained weights: an adapter file, its folder or its name at the hub
            (``hf:OWNER/NAME``), or a checkpoint of tuned or of all weights. Loaded strictly;
            pretrained files are read if it needs them. The file or known name of an image-text
            model alone, such as a CLIP, is taken for trunk and text tower, as in `fit`.
        new_head: begin a new classifier, whatever ``checkpoint`` has of one. Without, a
            checkpoint of another number of classes is an error.
        trunk: a built trunk; or fields to change of the recipe's; or a config with its ``type``
            in place of it. The classifier gets the width that it asks for.
        text_tower: the same for a retriever.
        device: where to; the first GPU, else the CPU, if None.
        options: other changes to the config, dotted, as for ``Config.merge_from_dict``:
            ``{'model.cls_head.dropout_ratio': 0.2}``.
        backbone: fields of the backbone to change, such as ``bottleneck_dims=96``.

    Raises:
        FileNotFoundError: no such recipe or file.
        ValueError: options that do not fit the recipe, or encoders without pretrained file.
        TypeError: options that a part does not have.
        RuntimeError: a file that cannot be fetched, or is of another model.
    """
    place = choose_device(device)
    config = _changed(config_of(name)[1], options or {})
    init_default_scope(config.get('default_scope', 'mmaction'))
    model = config.model.to_dict()
    model['backbone'] = model['backbone'] | backbone
    if not pretrained:
        _name_sources(model, None)
    _exchange(model['backbone'], 'trunk', trunk)
    _exchange(model, 'text_tower', text_tower)
    is_retriever = _check_kind(model)
    if not is_retriever:
        _set_head(model, num_classes)
    elif num_classes is not None or new_head:
        raise ValueError('create_model: num_classes and new_head are for classifiers; leave them.')
    checkpoint = _adapter_or(checkpoint)
    if checkpoint is not None and not _is_of_model(checkpoint):
        _name_sources(model, str(checkpoint))
        checkpoint = None
    if pretrained and checkpoint is None:
        _require_sources(model)
    without = 'cls_head' if new_head or num_classes == 0 else ''
    built = _built(model, checkpoint, without, config.get('default_scope', 'mmaction'))
    return as_module(built, with_model(config, model, built), num_classes == 0).to(place)


def _changed(config: Config, options: Mapping[str, Any]) -> Config:
    fields = {name for name in FIELDS if any(places(config, name))}
    unknown = [key for key in options if key.partition('.')[0] not in {*config, *fields}]
    if unknown:
        raise ValueError(
            f'create_model: the config has no {", ".join(unknown)}. Options are dotted names of '
            f'its settings, such as model.backbone.recompute; it has {", ".join(config)}.'
        )
    config.merge_from_dict(dict(options))
    return config


def _exchange(parent: dict, name: str, given: Mapping[str, Any] | nn.Module | None) -> None:
    """Put a built part, a whole config, or changed fields in the place of a part's config."""
    if given is None:
        return
    if name not in parent:
        raise ValueError(f'create_model: {parent["type"]} has no {name} to change. Leave it out.')
    if isinstance(given, Mapping) and 'type' not in given:
        given = parent[name] | given
    parent[name] = given


def _check_kind(model: dict) -> bool:
    """Whether it is a retriever; if not, it is a recogniser of clips."""
    kind = MODELS.get(model['type'])
    if isinstance(kind, type) and issubclass(kind, Recognizer3D | Retriever):
        return issubclass(kind, Retriever)
    raise ValueError(
        f"create_model: the config's model is {model['type']}; clips are read by Recognizer3D and "
        'mmstadapter.Retriever. Build another one with mmaction.registry.MODELS.build.'
    )


def _set_head(model: dict, num_classes: int | None) -> None:
    """Give the classifier its classes and the width of the backbone's features."""
    head = model.get('cls_head') or {}
    if not head and num_classes != 0:
        raise ValueError(
            'create_model: the config has no model.cls_head; num_classes=0 gives features.'
        )
    if num_classes is not None and 'heads' in head:
        raise ValueError(
            'create_model: this recipe has a classifier for each of several tasks; set their '
            "classes by options={'model.cls_head.heads.NAME.num_classes': N}."
        )
    if num_classes == 0 and 'labels' in head:  # features need no names of classes
        head = model['cls_head'] = dict(type='mmstadapter.VideoHead', num_classes=1)
    if num_classes:
        head['num_classes'] = num_classes
    with torch.device('meta'):
        width = getattr(MODELS.build(model['backbone']), 'out_channels', None)
    if isinstance(width, int):
        head['in_channels'] = width


def _encoders(model: dict) -> dict[str, dict]:
    """The configs of trunk and text tower; those that are built are left out."""
    read = model.get('text_tower') or (model.get('cls_head') or {}).get('text_tower')
    parts = {'trunk': model['backbone'].get('trunk'), 'text_tower': read}
    return {name: part for name, part in parts.items() if isinstance(part, dict)}


def _name_sources(model: dict, checkpoint: str | None) -> None:
    for part in _encoders(model).values():
        part['checkpoint'] = checkpoint


def _require_sources(model: dict) -> None:
    for name, part in _encoders(model).items():
        if part.get('checkpoint') is None:
            raise ValueError(
                f'create_model: the {name} names no pretrained file, so its weights would be '
                f'random. Give {name}=dict(checkpoint=FILE), or pretrained=False if random weights '
                'are meant.'
            )


def _adapter_or(checkpoint: str | Path | None) -> str | Path | None:
    """The adapter file where the folder or the name at the hub of one is given; else as given."""
    if checkpoint is None:
        return None
    if not (str(checkpoint).startswith(weights.PREFIX) or Path(checkpoint).expanduser().is_dir()):
        return checkpoint
    found = weights.locate(checkpoint)
    return found if found.name == weights.ADAPTER else checkpoint


def _is_of_model(checkpoint: str | Path) -> bool:
    """Whether weights are a whole model's; those of an image-text model have no backbone."""
    if not Path(checkpoint).is_file():  # a missing file is missed as a model's
        return not weights.is_source(checkpoint)
    return any(name.startswith('backbone.') for name in weights.read_tensors(checkpoint))


def _built(model: dict, checkpoint: str | Path | None, without: str, scope: str) -> nn.Module:
    try:
        built = build_model(
            model, checkpoint, pretrained=checkpoint is None, without=without, scope=scope
        )
    except RuntimeError as error:
        if 'cls_head' not in str(error):
            raise
        raise RuntimeError(
            f'{error}\ncreate_model: give the num_classes that it was trained with, or '
            'new_head=True to begin another classifier on these weights.'
        ) from error
    if checkpoint is not None and without:
        built.cls_head.init_weights()
    return built
