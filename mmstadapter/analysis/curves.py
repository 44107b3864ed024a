"""Curves of training runs: loss, accuracy and whatever else a run has logged, epoch by epoch."""

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Series = dict[str, list[tuple[float, float]]]  # key -> (epoch, value), in order

TOLD = ('top1', '/R1')  # parts of the names of figures that are drawn unasked


def read_run(folder: Path) -> Series:
    """What a run logged, with what it logged again after it was resumed.

    Args:
        folder: a work dir, or a file ``scalars.json`` of one.

    Raises:
        FileNotFoundError: if nothing was logged there.
        ValueError: for a file that is not what MMEngine's ``LocalVisBackend`` writes.
    """
    files = [folder] if folder.is_file() else sorted(folder.glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(
            f'plot: no */vis_data/scalars.json in {folder}. Give the work dir of a training, '
            'such as work_dirs/<config>.'
        )
    series: Series = {}
    for file in files:
        part = _by_epoch(_read_rows(file))
        start = min((x for points in part.values() for x, _ in points), default=0.0)
        series = {key: [p for p in points if p[0] < start] for key, points in series.items()}
        for key, points in part.items():
            series.setdefault(key, []).extend(points)
    return {key: points for key, points in series.items() if points}


def _read_rows(file: Path) -> list[dict]:
    lines = file.read_text(encoding='utf-8').splitlines()
    try:
        rows = [json.loads(line) for line in lines if line.strip()]
        return [dict(row, step=float(row['step'])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'plot: {file} is no log of a training: {error!r}') from error


def _by_epoch(rows: list[dict]) -> Series:
    """Rows of training have the iteration as step, those of validation the epoch, if it counts."""
    steps = [row['iter'] / row['epoch'] for row in rows if row.get('epoch')]
    an_epoch = max(steps, default=1.0)
    last = max((row['epoch'] for row in rows if row.get('epoch')), default=0)
    series: Series = {}
    for row in rows:
        is_iteration = 'iter' in row or row['step'] > last > 0
        x = row['step'] / an_epoch if is_iteration else row['step']
        for key, value in row.items():
            if key not in ('step', 'iter', 'epoch') and isinstance(value, int | float):
                series.setdefault(key, []).append((x, float(value)))
    return series


def choose_keys(runs: dict[str, Series], keys: list[str] | None) -> list[str]:
    """The keys to draw: those asked for, else the loss, top-1 and R@1.

    Raises:
        ValueError: for a key that no run has, with those there are; if there are none.
    """
    there = list(dict.fromkeys(key for series in runs.values() for key in series))
    if not there:
        raise ValueError('plot: nothing has been logged yet.')
    unknown = [key for key in keys or () if key not in there]
    if unknown:
        raise ValueError(f'plot: no {", ".join(unknown)} was logged. There: {", ".join(there)}.')
    told = [key for key in there if key == 'loss' or any(part in key for part in TOLD)]
    return keys or told or there


def draw(runs: dict[str, Series], keys: list[str], path: Path) -> None:
    """A panel a key, a curve a run, into a picture of the suffix's format."""
    columns = min(3, len(keys))
    lines = -(-len(keys) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * lines), dpi=130, layout='constrained')
    FigureCanvasAgg(figure)
    for number, key in enumerate(keys, start=1):
        axes = figure.add_subplot(lines, columns, number)
        for name, series in runs.items():
            epochs, values = zip(*series.get(key, [(float('nan'), float('nan'))]), strict=True)
            mark = 'o' if len(epochs) <= 30 else ''
            axes.plot(epochs, values, marker=mark, ms=3, lw=1.3, label=name)
        axes.set_title(key, fontsize=10)
        axes.set_xlabel('epoch', fontsize=9)
        axes.grid(color='#e6e9ec')
    if len(runs) > 1:
        figure.axes[0].legend(fontsize=8)
    figure.savefig(path)
