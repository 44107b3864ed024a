"""The picture of the demonstration: the task as film strips, the results as bars."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from .runs import METHODS, TASKS, Run  # noqa: E402

COLOURS = {'linear': '#9aa5b1', 'stadapter': '#2f6fb7'}
INK = '#27313b'
TITLES = {'motion': 'Which way does it move?', 'digit': 'Which digit is it?'}
EXAMPLE = 'three_blue'  # a scene of the validation set


def film_strip(path: Path) -> np.ndarray:
    """The eight frames that models see in testing, side by side, (H, W, 3) uint8."""
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    seen = [np.pad(frame, ((0, 0), (0, 2), (0, 0)), constant_values=255) for frame in frames[1::3]]
    return np.concatenate(seen, axis=1)[:, :-2]


def draw_strip(axes: Axes, data_root: Path, motion: str, label: str) -> None:
    """One clip as a row of frames."""
    axes.imshow(film_strip(data_root / 'videos' / 'val' / f'{EXAMPLE}_{motion}.mp4'))
    axes.set_axis_off()
    axes.text(-6, 16, label, ha='right', va='center', color=INK, fontsize=10)


def draw_bars(axes: Axes, runs: list[Run], task: str, bound: float) -> None:
    """The methods' accuracies on a task, with the bound where there is one."""
    for x, (method, label) in enumerate(METHODS.items()):
        run = next(r for r in runs if (r.method, r.task) == (method, task))
        top1 = run.top1()
        axes.bar(x, top1, width=0.58, color=COLOURS[method])
        axes.text(x, top1 + 1.5, f'{top1:.1f}', ha='center', fontsize=12, weight='bold', color=INK)
        name = f'{label.split(",")[0]}\n{run.tuned_parameters():,} tuned'
        axes.text(x, -3, name, ha='center', va='top', fontsize=10, color=INK, linespacing=1.4)
    if task == 'motion':
        axes.axhline(bound, color='#c0392b', linestyle=(0, (5, 4)), linewidth=1.4)
        text = 'most that any model\nblind to frame order\ncan reach'
        box = dict(facecolor='white', edgecolor='none', pad=2)
        axes.text(-0.62, bound + 9, text, color='#c0392b', fontsize=8.5, va='bottom', bbox=box)
    axes.set_title(TITLES[task], fontsize=12, color=INK, loc='left', pad=14)
    axes.set(ylim=(0, 108), xlim=(-0.65, len(METHODS) - 0.35), xticks=[], yticks=range(0, 101, 25))
    axes.tick_params(axis='y', length=0, labelcolor='#66707a', labelsize=9)
    axes.grid(axis='y', color='#e6e9ec')
    axes.set_axisbelow(True)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color('#b8c0c8')


def draw(runs: list[Run], data_root: Path, bound: float, path: Path) -> None:
    """Write the picture.

    Args:
        runs: complete runs of every method on every task.
        data_root: folder of the data set.
        bound: per cent of motions that no order-blind model can pass.
        path: a .png file.
    """
    figure = plt.figure(figsize=(8.4, 6.2), dpi=150, facecolor='white')
    strips = figure.add_gridspec(2, 1, left=0.17, right=0.97, top=0.87, bottom=0.64, hspace=0.12)
    draw_strip(figure.add_subplot(strips[0]), data_root, 'right', 'a clip')
    draw_strip(figure.add_subplot(strips[1]), data_root, 'left', 'played\nbackwards')
    bars = figure.add_gridspec(1, 2, left=0.08, right=0.97, top=0.53, bottom=0.12, wspace=0.16)
    for i, task in enumerate(TASKS):
        draw_bars(figure.add_subplot(bars[i]), runs, task, bound)
    title = 'A frozen image model on video: top-1 (%) on unseen handwriting'
    figure.text(0.08, 0.945, title, fontsize=14, weight='bold', color=INK)
    figure.savefig(path)
    plt.close(figure)
