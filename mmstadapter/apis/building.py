"""The one place that builds the model of a config and gives it weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..runs.loading import load_into


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
        model.init_weights()
    if checkpoint is not None:
        load_into(model, checkpoint, without)
    return model.eval()
