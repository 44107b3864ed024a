"""A reproducible share of a data set, the same share of every class."""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath


def balanced_fraction(
    names: Sequence[str], labels: Sequence[int], fraction: float, seed: int = 0
) -> list[int]:
    """Choose the same share of the videos of every class.

    Training-data efficiency of ST-Adapter (Figure 2c). The choice depends on the videos' names
    (without their suffix), the class and the seed alone: not on the order of the list, the
    machine or a version of a random number generator. Smaller shares lie within larger ones.

    Args:
        names: paths as the annotation file has them.
        labels: class of each.
        fraction: share of each class in (0, 1], rounded to the nearest number of videos (a half
            to the even one), at least one.
        seed: another seed makes another choice.

    Returns:
        Indices of the chosen ones, in the order of the list.

    Raises:
        ValueError: if the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            f'VideoDataset: fraction must be a share of the videos in (0, 1], got {fraction}.'
        )
    classes: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        classes[label].append(index)

    def rank(index: int) -> bytes:
        name = PurePosixPath(names[index]).with_suffix('')
        return sha256(f'{seed} {name}'.encode(errors='surrogateescape')).digest()

    chosen = []
    for members in classes.values():
        count = max(1, round(fraction * len(members)))
        chosen += sorted(members, key=rank)[:count]
    return sorted(chosen)
