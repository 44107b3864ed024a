"""The one place that builds the model of a config and gives it weights."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from .. import shipped
from ..config_fields import spread_fields
from ..runs.loading import load_into


def config_of(config: str | Path | Mapping[str, Any] | Config) -> tuple[str, Config]:
    """A name for messages, and a config of one's own: by path, by shipped name, or as given.

    Raises:
        FileNotFoundError: with the closest shipped names, if there is none.
    """
    if isinstance(config, Config):
        own = copy.deepcopy(config)
        spread_fields(own)
        return config.filename or 'the given config', own
    if isinstance(config, Mapping):
        own = Config(dict(config))
        spread_fields(own)
        return str(config.get('filename') or 'the given config'), own
    path = shipped.find_config(str(config))
    return Path(path).name, Config.fromfile(path)


def build_model(
    config: Mapping[str, Any],
    checkpoint: str | Path | Mapping[str, Tensor] | None = None,
    *,
    pretrained: bool = False,
    without: str = '',
    scope: str = 'mmaction',
) -> nn.Module:
    """Build a model and load its weights, strictly; on the CPU, in evaluation mode.

    Args:
        config: of the model, ``cfg.model``.
        checkpoint: what training, ``publish`` or ``convert`` wrote, or its tensors, read
            already. From tuned weights alone the encoders read their pretrained files too.
        pretrained: let the encoders read these in any case, and what starts from them start.
        without: a part of the model, such as ``'cls_head'``, which stays as it was built
            whatever the checkpoint has of it.
        scope: where bare names in the config are looked up.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: if the file lacks tensors, has others, or belongs to another trunk.
        ValueError: if it holds no weights, or some that are not numbers.
    """
    init_default_scope(scope)
    model = MODELS.build(config)
    if pretrained:
        _initialise(model)
    if checkpoint is not None:
        load_into(model, checkpoint, without)
    return model.eval()


def _initialise(model: nn.Module) -> None:
    """``init_weights()`` without MMEngine's account of every tensor in the log."""
    vars(model)['_dump_init_info'] = lambda: None
    try:
        model.init_weights()
    finally:
        del vars(model)['_dump_init_info']
