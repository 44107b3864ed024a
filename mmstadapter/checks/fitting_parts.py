"""Parts of a built model, and of its pipelines, that the first batch would find not to fit."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn

from ..datasets.neighbours import group_size

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
    if getattr(backbone, 'output', 'clip') == 'frames' and not getattr(head, 'takes_frames', False):
        yield (
            "model.backbone.output: 'frames' is for retrieval and TextHead; a classifier needs "
            "'clip'."
        )


def unfitting_clips(model: nn.Module, cfg: Mapping, *kinds: str) -> Iterator[str]:
    """Clips of the pipelines that run, of 'train', 'val' or 'test', against trunk and backbone."""
    whole: Any = model.module if is_model_wrapper(model) else model
    backbone = getattr(whole, 'backbone', None)
    for kind in kinds:
        loader = cfg.get(f'{kind}_dataloader')
        data = loader.get('dataset') if isinstance(loader, Mapping) else None
        steps = data.get('pipeline') if isinstance(data, Mapping) else None
        yield from _sizes(backbone, steps or (), f'{kind}_dataloader.dataset.pipeline')
        if steps:
            yield from _groups(backbone, steps, f'{kind}_dataloader.dataset.pipeline')


def _sizes(backbone: nn.Module | None, steps: Any, path: str) -> Iterator[str]:
    """Crops against the trunk's size."""
    wanted = getattr(getattr(backbone, 'trunk', None), 'img_size', None)
    size = crop_size(steps)
    if isinstance(wanted, tuple) and size is not None and size != wanted:
        yield (
            f'{path}: frames must be {wanted} pixels (height, width) for this trunk, but are '
            f'cropped to {size}. Change the sizes of its steps, or model.backbone.trunk.img_size.'
        )


def _groups(backbone: nn.Module | None, steps: Any, path: str) -> Iterator[str]:
    """Frames around each sampled one against those that the backbone looks at."""
    wanted = getattr(backbone, 'num_diff', 1)
    found = group_size(step for step in steps if isinstance(step, Mapping))
    if found == wanted or not isinstance(wanted, int):
        return
    said = f'takes the sampled frames alone, got groups of {found}. Take AddNeighbours out.'
    if wanted > 1:
        step = f"dict(type='mmstadapter.AddNeighbours', num_diff={wanted})"
        said = (
            f'takes groups of {wanted} frames around the sampled ones, got groups of {found}. '
            f'Put {step} behind the step that samples.'
        )
    yield f'{path}: {type(backbone).__name__} {said}'


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
