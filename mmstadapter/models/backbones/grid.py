"""A grid of options: several branches beside one trunk, and the rates each learns at."""

from collections.abc import Mapping, Sequence
from inspect import signature
from itertools import product
from typing import Any, NamedTuple

from mmaction.registry import MODELS

RATES = ('lr', 'weight_decay')  # of the optimizer, not of the branch


class Run(NamedTuple):
    """One branch of a sweep: what it is called, its config, and its rates (None: as all)."""

    name: str
    branch: dict[str, Any]
    lr: float | None = None
    weight_decay: float | None = None


def runs_of(
    branches: Mapping[str, Mapping[str, Any]], grids: Mapping[str, Mapping[str, Any]]
) -> dict[str, Run]:
    """A run for each branch, or for each point of its grid, by the name of its module.

    Args:
        branches: name -> config of a branch.
        grids: name of a branch -> lists of its options, ``dict(side_dims=[24, 48],
            lr=[1e-3, 2e-3])``: one run for every combination, ``lr`` and ``weight_decay`` being
            the optimizer's.

    Raises:
        ValueError: for a grid of no branch, an option that the branch does not have, without
            values, or with the same one twice.
    """
    if others := [name for name in grids if name not in branches]:
        raise ValueError(
            f'SharedTrunkViT: grids of {", ".join(others)}, and the branches are '
            f'{", ".join(branches)}. Name these.'
        )
    found: dict[str, Run] = {}
    for name, branch in branches.items():
        grid = dict(grids.get(name) or {})
        if not grid:
            found[name] = Run(name, dict(branch))
            continue
        for option, values in grid.items():
            _check(name, branch['type'], option, values)
        for i, point in enumerate(product(*grid.values())):
            options = dict(zip(grid, point, strict=True))
            rates = {rate: options[rate] for rate in RATES if rate in options}
            own = {key: value for key, value in options.items() if key not in RATES}
            said = '_'.join(f'{_short(key)}{_text(value)}' for key, value in options.items())
            found[f'{name}_{i}'] = Run(f'{name}_{said}', dict(branch) | own, **rates)
    return found


def _check(name: str, kind: str, option: str, values: Any) -> None:
    where = f'SharedTrunkViT: grids.{name}.{option}'
    known = [*RATES, *(key for key in signature(MODELS.get(kind)).parameters if key != 'trunk')]
    if option not in known:
        raise ValueError(f'{where}: {kind} has no such option. Known: {", ".join(known)}.')
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or not values or any(list(values).count(value) > 1 for value in values):
        raise ValueError(
            f'{where} must be a list of different values, got {values!r}. Give one value as a list '
            'of one.'
        )
    wrong = [v for v in values if option in RATES and not (isinstance(v, int | float) and v >= 0)]
    if wrong:
        raise ValueError(f'{where} must hold numbers from 0, got {wrong}.')


def _short(option: str) -> str:
    return 'wd' if option == 'weight_decay' else option


def _text(value: Any) -> str:
    return f'{value:g}' if isinstance(value, int | float) else str(value).replace(' ', '')
