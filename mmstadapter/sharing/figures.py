"""What a test found, as a card and the metadata of the hub tell it: figures with intervals."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..apis.results import interval

KNOWN = re.compile(r'(?:.*/)?(?P<name>top\d+|mean1|R\d+|MdR|MnR)')
SHARES = re.compile(r'(?:.*/)?(top\d+|mean1)')  # which MMAction2 gives from 0 to 1
PER_CENT = re.compile(r'(?:.*/)?(top\d+|R\d+)')  # of which the interval of a share is known
WORDS = {'t2v': 'text to video', 'v2t': 'video to text'}


class Figure(NamedTuple):
    """One figure: its name, per cent unless it is a rank, its 95 % interval, of how many."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    among: int | None = None

    @property
    def is_share(self) -> bool:
        """Whether it is in per cent."""
        return not self.name.endswith(('MdR', 'MnR'))


def read_results(results: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Results as they are, or from a JSON file.

    Raises:
        FileNotFoundError, ValueError: no such file, or none with results.
    """
    if isinstance(results, Mapping):
        return dict(results)
    try:
        found = json.loads(Path(results).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'results: {results} is no JSON: {error}.') from None
    if not isinstance(found, dict):
        raise ValueError(f'results: {results} must hold names and figures, as a test writes them.')
    return found


def figures_of(results: Mapping[str, Any]) -> list[Figure]:
    """The figures in the results of a fit, of `mmstadapter test`, or given by hand.

    Args:
        results: ``top1`` in per cent with ``top1_interval`` and ``videos``, as a fit has them; or
            ``acc/top1`` from 0 to 1 and the like, as MMAction2 writes them, and recalls in per
            cent with their ``queries``; ``videos``, where given, is the number tested.

    Raises:
        ValueError: without a figure among them, or with one that cannot be.
    """
    found = [_figure(key, results) for key in results if KNOWN.fullmatch(key)]
    if not found:
        raise ValueError(
            f'results: none of {", ".join(map(str, results)) or "no entries"} is a figure; known '
            'are top1 (per cent), acc/top1 and acc/mean1 (0 to 1), t2v/R1 (per cent), t2v/MdR.'
        )
    return found


def _figure(key: str, results: Mapping[str, Any]) -> Figure:
    value, folder = results[key], key.rpartition('/')[0]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e9:
        raise ValueError(f'results: {key} must be a number from 0 on, got {value!r}.')
    value = 100 * value if folder and SHARES.fullmatch(key) else value
    count = results.get(f'{folder}/queries', results.get('videos'))
    low, high = _interval(key, value, count, results)
    figure = Figure(_name(key), round(float(value), 2), low, high, count)
    if figure.is_share and value > 100:
        raise ValueError(f'results: {key} is {value:g} per cent, more than all.')
    return figure


def _interval(
    key: str, value: float, count: int | None, results: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """As it is given, else Wilson's of so many right among all."""
    if f'{key}_interval' in results:
        low, high = results[f'{key}_interval']
    elif f'{key}_low' in results and f'{key}_high' in results:
        low, high = results[f'{key}_low'], results[f'{key}_high']
    elif count and PER_CENT.fullmatch(key):
        low, high = interval(round(value * count / 100), count)
    else:
        return None, None
    return round(float(low), 2), round(float(high), 2)


def _name(key: str) -> str:
    """'acc/top1' -> 'top-1 accuracy', 'retrieval/t2v/R1' -> 'text to video R@1'."""
    *folders, last = key.split('/')
    said = [WORDS[folder] for folder in folders if folder in WORDS]
    said += [f for f in folders if f.startswith(('dsl', 'qb_norm'))]
    last = re.sub(r'^top(\d+)$', r'top-\1 accuracy', last).replace('mean1', 'mean class accuracy')
    return ' '.join([*said, re.sub(r'^R(\d+)$', r'R@\1', last)])
