"""Which classes are trained on, where others are to be recognised by their names alone."""

from collections.abc import Sequence


def chosen_classes(base_classes: str | Sequence[int], num_classes: int) -> list[int]:
    """The numbers of the base classes; the others are novel.

    Args:
        base_classes: ``'half'``, the first half by number, rounded up, as in CoOp; or the numbers.
        num_classes: of both kinds.

    Raises:
        ValueError: for another word, for numbers outside [0, num_classes) or twice, and if either
            kind would be empty.
    """
    if base_classes == 'half' and num_classes:
        return list(range((num_classes + 1) // 2))
    chosen = [] if isinstance(base_classes, str) else sorted(base_classes)
    inside = all(type(n) is int and 0 <= n < num_classes for n in chosen)
    if not inside or not 0 < len({*chosen}) == len(chosen) < num_classes:
        raise ValueError(
            "base_classes: must be 'half' or some of the class numbers from 0 to "
            f'{num_classes - 1}, each once and not all of them, got {base_classes!r}.'
        )
    return chosen
