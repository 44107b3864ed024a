"""Parts of a built model, and of its pipelines, that the first batch would find not to fit."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn

_CROPS = ('RandomSquare', 'RandomResizedSquare', 'SpatialViews', 'PILRandomSquare')
_HOST_CROPS = ('RandomCrop', 'RandomResizedCrop', 'CenterCrop', 'ThreeCrop', 'TenCrop')


def unfitting_parts(model: nn.Module) -> Iterator[str]:
    """A sentence for each part that does not fit the one before it.

    A backbone says the width of its feature in ``out_channels``, a head takes ``in_channels``;
    of parts that say nothing nothing is known.
    """
    whole: Any = model.module if is_model_wrapper(model) else model
    backbone, head = getattr(whole, 'backbone', None), getattr(whole, 'cls_head', None)
    if head is not None and getattr(whole, 'neck', None) is None:
        yield from _widths(backbone, head)


def _widths(backbone: nn.Module, head: nn.Module) -> Iterator[str]:
    """Feature against head, or the features of several branches against their heads."""
    given, heads = getattr(backbone, 'out_channels', None), getattr(head, 'heads', None)
    if isinstance(given, dict) and heads is not None:
        pairs = [(f'.heads.{n}', width, heads[n]) for n, width in given.items() if n in heads]
    else:
        pairs = [('', given, head)]
    for path, width, part in pairs:
        wanted = getattr(part, 'in_channels', None)
        if isinstance(width, int) and isinstance(wanted, int) and width != wanted:
            yield (
                f'model.cls_head{path}.in_channels: must be the {width} channels that '
                f'{type(backbone).__name__} gives with this trunk, got {wanted}. Set it to {width}.'
            )
    if getattr(backbone, 'output', 'clip') == 'frames':
        yield "model.backbone.output: 'frames' is for retrieval; a classifier needs 'clip'."


def unfitting_sizes(model: nn.Module, cfg: Mapping, *kinds: str) -> Iterator[str]:
    """Crops of the pipelines that run, of 'train', 'val' or 'test', against the trunk's size."""
    whole: Any = model.module if is_model_wrapper(model) else model
    wanted = getattr(getattr(getattr(whole, 'backbone', None), 'trunk', None), 'img_size', None)
    if not isinstance(wanted, tuple):
        return
    for kind in kinds:
        loader = cfg.get(f'{kind}_dataloader')
        data = loader.get('dataset') if isinstance(loader, Mapping) else None
        steps = data.get('pipeline') if isinstance(data, Mapping) else None
        size = crop_size(steps or ())
        if size is not None and size != wanted:
            yield (
                f'{kind}_dataloader.dataset.pipeline: frames must be {wanted} pixels (height, '
                f'width) for this trunk, but are cropped to {size}. Change the sizes of its steps, '
                'or model.backbone.trunk.img_size.'
            )


def crop_size(steps: Any) -> tuple[int, int] | None:
    """(height, width) that the last crop of a pipeline leaves; None where a later step resizes."""
    size = None
    for step in steps:
        kind = str(step.get('type')).rpartition('.')[2] if isinstance(step, Mapping) else ''
        given = step.get('size' if kind in _CROPS else 'crop_size') if kind else None
        if kind in (*_CROPS, *_HOST_CROPS) and isinstance(given, int):
            size = given, given
        elif kind.endswith('Resize') or kind in _HOST_CROPS:
            size = None
    return size
