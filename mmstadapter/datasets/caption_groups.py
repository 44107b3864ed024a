"""Batches of captions that are hard to tell apart."""

import re
from collections.abc import Iterator, Sized

import numpy as np
from mmaction.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class CaptionGroupSampler(Sampler):
    """Bring captions that have a part in common together, and no caption twice.

    For captions of few patterns, as in the moving digits ("the digit three moves to the left")
    or Something-Something. In a batch drawn at random most captions differ in what one frame
    shows; here a caption meets the others of its group, whose common part does not tell them
    apart. Items of one group come in runs of ``group_size`` different captions; the runs of
    different groups alternate, so that a batch of some runs holds different groups, each
    with captions that are equal in nothing but the common part:

        train_dataloader = dict(
            batch_size=16,
            sampler=dict(type='mmstadapter.CaptionGroupSampler',
                         pattern=r'digit (\\w+)', group_size=8))

    An epoch shows each item once; over several processes runs are dealt out, the last ones
    twice if they do not come out even. Items of a caption that is more frequent than others of
    its group make shorter runs in the end.

    Args:
        dataset: a `CaptionDataset` in training, with ``captions='each'``.
        pattern: regular expression; what its brackets find in a caption (without brackets, all
            that it finds) is the common part, the group's name. Captions it does not find are a
            group of their own.
        group_size: items of a run. The batch size should be a multiple of it.
        seed: of the order; the same on every process, a random one if None.

    Raises:
        ValueError: if items have no caption of their own, or ``group_size`` is below 2.
    """

    def __init__(
        self, dataset: Sized, pattern: str, group_size: int, seed: int | None = None
    ) -> None:
        if group_size < 2:
            raise ValueError(
                f'CaptionGroupSampler: group_size must be 2 or more, got {group_size}.'
            )
        self.group_size = group_size
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.groups = _grouped(_captions(dataset), re.compile(pattern))
        self.num_items = len(dataset)

    def __iter__(self) -> Iterator[int]:
        """The items of this process in the order of the epoch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        queues = [_runs(group, self.group_size, rng) for group in self.groups]
        runs: list[list[int]] = []
        for place in range(max(map(len, queues))):
            order = rng.permutation(len(queues)).tolist()
            runs += [queues[i][place] for i in order if place < len(queues[i])]
        items = [item for run in runs for item in run]
        share = len(self) * self.world_size
        items = [items[i % len(items)] for i in range(share)]
        block = self.group_size * self.world_size
        for start in range(0, share, block):
            part = items[start : start + block]
            each = len(part) // self.world_size
            yield from part[self.rank * each : (self.rank + 1) * each]

    def __len__(self) -> int:
        """Items of this process."""
        return -(-self.num_items // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Another order for another epoch."""
        self.epoch = epoch


def _captions(dataset: Sized) -> list[str]:
    """The one caption of each item."""
    read = getattr(dataset, 'get_data_info', None)
    fixed = getattr(dataset, 'captions', None) == 'each' and not getattr(dataset, 'test_mode', 0)
    if read is None or not fixed:
        raise ValueError(
            'CaptionGroupSampler: needs a CaptionDataset in training whose items have one caption '
            f"each (captions='each'), got {type(dataset).__name__} with captions="
            f'{getattr(dataset, "captions", None)!r}.'
        )
    return [read(i)['captions'][0] for i in range(len(dataset))]


def _grouped(captions: list[str], pattern: re.Pattern) -> list[list[list[int]]]:
    """Items by group and, within it, by caption."""
    groups: dict[object, dict[str, list[int]]] = {}
    for i, caption in enumerate(captions):
        found = pattern.search(caption)
        name = None if found is None else found.groups() or found[0]
        groups.setdefault(name, {}).setdefault(caption, []).append(i)
    return [list(group.values()) for group in groups.values()]


def _runs(group: list[list[int]], size: int, rng: np.random.Generator) -> list[list[int]]:
    """A group's items dealt into runs of different captions, the frequent ones first."""
    left = [[items[i] for i in rng.permutation(len(items))] for items in group]
    runs = []
    while left:
        order = rng.permutation(len(left)).tolist()
        order = sorted(order, key=lambda i: -len(left[i]))[:size]
        runs.append([left[i].pop() for i in order])
        left = [items for items in left if items]
    return [[run[i] for i in rng.permutation(len(run))] for run in runs]
