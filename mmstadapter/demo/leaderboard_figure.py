"""The leaderboard's picture: a panel a task, a bar a method, a dot a seed."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import matplotlib

matplotlib.use('Agg')

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from .leaderboard_page import rows_of  # noqa: E402
from .results import TRUNKS, Result  # noqa: E402
from .tasks import TASKS  # noqa: E402

BLIND, AWARE, INK, LINE = '#8b96a3', '#2f6fb7', '#27313b', '#c0392b'


class Panel(NamedTuple):
    """A task's score on a trunk: its rows, and the bound of those blind to order."""

    title: str
    rows: list[list[Result]]
    score: str
    bound: float | None


def panels_of(results: list[Result]) -> Iterator[Panel]:
    """All that have rows."""
    for trunk in TRUNKS:
        for name, task in TASKS.items():
            rows = rows_of(results, trunk, name)
            for score, label in task.scores.items():
                if rows:
                    what = f': {label}' if len(task.scores) > 1 else ''
                    yield Panel(f'{name}, {trunk}{what}', rows, score, task.bound)


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Every method's seeds as dots and their mean as a bar, one line a method."""
    for y, row in enumerate(panel.rows):
        values = [result.scores[panel.score] for result in row]
        colour = AWARE if row[0].sees_order else BLIND
        axes.barh(y, mean(values), height=0.5, color=colour, alpha=0.28, linewidth=0)
        axes.plot([mean(values)] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2)
        axes.scatter(values, [y] * len(values), s=20, color=colour, edgecolor='white', zorder=3)
        axes.text(102.5, y, f'{mean(values):.1f}', va='center', fontsize=9, color=INK)
    if panel.bound:
        axes.axvline(panel.bound, color=LINE, linestyle=(0, (5, 4)), linewidth=1.3, zorder=2)
    axes.set_title(panel.title, fontsize=11, color=INK, loc='left', pad=8)
    axes.set(xlim=(0, 116), ylim=(len(panel.rows) - 0.5, -0.6), xticks=range(0, 101, 25))
    axes.set_yticks(range(len(panel.rows)), [row[0].label for row in panel.rows])
    axes.tick_params(axis='both', length=0, labelcolor=INK, labelsize=8.5)
    axes.grid(axis='x', color='#e6e9ec')
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def draw(results: list[Result], path: Path) -> None:
    """Write the picture, a .png file: two panels a line, as high as their rows need."""
    panels = list(panels_of(results))
    lines = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    heights = [max(len(panel.rows) for panel in line) + 2.2 for line in lines]
    figure, places = plt.subplots(
        len(lines), 2, figsize=(12, 0.25 * sum(heights) + 0.8), dpi=130, squeeze=False,
        height_ratios=heights, layout='constrained',
    )  # fmt: skip
    for line, axes in zip(lines, places, strict=True):
        for place in axes[len(line) :]:
            place.set_visible(False)
        for panel, place in zip(line, axes, strict=False):
            draw_panel(place, panel)
    figure.suptitle(
        'Top-1 and R@1 (%); blue: looks at the order of frames; grey: does not, and cannot pass '
        'the dashed line',
        fontsize=11, color=INK,
    )  # fmt: skip
    figure.savefig(path)
    plt.close(figure)
