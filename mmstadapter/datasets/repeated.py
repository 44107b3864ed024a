"""Repeated augmentation: several clips of one decoding, side by side in a batch."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import FUNCTIONS


class RepeatedPipeline(Compose):
    """Sample and decode once, augment several times (Hoffer et al. 2020, as Side4Video has it).

    The steps up to the one that adds ``imgs`` run once; all others run ``num_sample`` times, each
    on a copy of its own, so that one copy's mirroring or label does not reach another.

    Args:
        transforms: the steps.
        num_sample: copies.
    """

    def __init__(self, transforms: Sequence, num_sample: int) -> None:
        super().__init__(transforms)
        self.num_sample = num_sample

    def __call__(self, data: dict) -> list[dict]:
        """Run the steps; one finished sample a copy.

        Raises:
            ValueError: if no step adds frames.
        """
        steps = list(self.transforms)
        while 'imgs' not in data:
            if not steps:
                raise ValueError(
                    'num_sample: no step of the pipeline adds frames (imgs). Put a decoding step '
                    'such as mmstadapter.VideoDecode into it, or set num_sample=1.'
                )
            data = steps.pop(0)(data)
        copies = [deepcopy(data) for _ in range(self.num_sample - 1)] + [data]
        return [_run(steps, copy) for copy in copies]


def _run(steps: list, data: Any) -> Any:
    for step in steps:
        data = step(data)
    return data


@FUNCTIONS.register_module()
def flat_collate(batch: Sequence) -> Any:
    """MMEngine's ``pseudo_collate`` after laying the copies of all items side by side.

    B items of ``num_sample`` copies become a batch of B·num_sample clips, in the loss and for
    BatchNorm. Items that are not lists are taken as they are. In a config:
    ``train_dataloader = dict(collate_fn=dict(type='mmstadapter.flat_collate'), ...)``.
    """
    flat = [copy for item in batch for copy in (item if isinstance(item, list) else [item])]
    return pseudo_collate(flat)


def check_collate(loader: Mapping | None) -> None:
    """Refuse a training loader that would not know what to do with copies.

    Raises:
        ValueError: for ``num_sample`` above 1, in whatever wrapper, without :func:`flat_collate`.
    """
    copies = _num_sample(loader['dataset']) if loader and 'dataset' in loader else 1
    if copies > 1 and 'flat_collate' not in str(loader.get('collate_fn')):
        raise ValueError(
            f'train_dataloader: num_sample={copies} gives several clips of each video, which the '
            'default collate function cannot batch. Set train_dataloader.collate_fn=dict(type='
            "'mmstadapter.flat_collate')."
        )


def _num_sample(dataset: Any) -> int:
    if not isinstance(dataset, Mapping):
        return getattr(dataset, 'num_sample', 1)
    inner = dataset.get('datasets', [dataset.get('dataset', {})])
    return max([dataset.get('num_sample', 1), *map(_num_sample, inner)]) if dataset else 1
