"""The benchmark's table and figure, made from its results."""

from pathlib import Path
from statistics import mean, stdev

import matplotlib

matplotlib.use('Agg')

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from .benchmark_runs import CAPTIONS, METHODS, RETRIEVERS, TASKS, methods_of  # noqa: E402

BOUND = 50.0  # per cent of motions, for any method that does not look at the order of frames
FAR = 5  # points between seeds that are worth a word
BLIND, AWARE, INK, LINE = '#8b96a3', '#2f6fb7', '#27313b', '#c0392b'
PANELS = {
    'motion': 'Which way does it move?',
    'digit': 'Which digit is it?',
    't2v': 'Which of 80 videos fits a caption?',
    'v2t': 'Which of 80 captions fits a video?',
}
WAYS = ('t2v', 'v2t')
WHERE = {'t2v': 'caption to video', 'v2t': 'video to caption'}
# Rows as in Table 1, then Table 5's kernels.
ORDER = [m for m in METHODS if m != 'linear' and not m.startswith('stadapter')]
ORDER = ['linear', *ORDER, *(m for m in METHODS if m.startswith('stadapter'))]
HEAD = """# The embedded benchmark: ways to adapt an image model to video

Moving digits ([tools/data/moving_digits](../tools/data/moving_digits/README.md)), the tiny CLIP, 8 frames: the rows of ST-Adapter's Tables 1 and 5, small, and Side4Video. Top-1 in per cent on 400 validation clips of unseen handwriting. *Digit* can be told from one frame. *Motion* cannot: validation holds every scene forwards and backwards with identical frames, so a model that does not look at the order of frames reaches at most **50.0** on it.

![Accuracy of every method on both tasks](benchmark.png)
"""  # noqa: E501
NOTES = """Mean ± sample standard deviation over seeds, their number in brackets. Seeds change the new layers' start, the order of the clips and the sampled frames; data and image model are one. 400 clips also leave a standard error of about 1.2 points on the digits. Tuned parameters are those of the motion task, with its classifier of 776 (Side4Video: 392). The settings of the linear probe and of kernel 3 x 1 x 1 were chosen on this validation set for `make demo`; the other rows take them over, with a quarter of the rate for pretrained tensors where they are tuned.
"""  # noqa: E501
RETRIEVAL = """## Search by caption

The same clips with captions such as "the digit three moves to the left": 80 different ones, the words of motion new to the text tower. Recall at 1 in five galleries of 80 validation videos and their 80 captions, one a colour of the ground; figures are means over them, and tied answers share the credit. Both directions of a scene hold the same frames, so whoever does not look at their order gives them one score: at most **50.0** both ways, and only the motion word can lift a model above.
"""  # noqa: E501
ONE_STAGE = """Every trained row is trained in one stage, adapters or side network, the image model's last norm and projection and the text tower together from the start, on captions alone: no motion labels. Captions of opposite motions begin almost identical in the text tower (cosines of 0.91 to 1.00). With the plain contrastive loss they first become one, since no video feature tells them apart yet, and then the video side has little to learn from: the row "no text negatives". `ContrastiveLoss(text_negatives=1)` makes other captions negatives of a caption, and `CaptionGroupSampler` brings the motions of one digit into a batch; both use nothing but the captions. Chosen on this validation set. R@1 asks for the digit as well, in unseen handwriting.
"""  # noqa: E501


def cell(results: list[dict], key: str = 'top1') -> str:
    """Figures of the seeds -> '99.2 ± 0.6 (3)'."""
    if not results:
        return ''
    values = [result[key] for result in results]
    spread = f' ± {stdev(values):.1f}' if len(values) > 1 else ''
    return f'{mean(values):.1f}{spread} ({len(values)})'


def select(results: list[dict], method: str, task: str) -> list[dict]:
    """Results of all seeds of a method on a task."""
    return [r for r in results if (r['method'], r['task']) == (method, task)]


def rows_of(results: list[dict]) -> list[str]:
    """Methods that have a result in recognition, in the table's order."""
    found = {result['method'] for result in results if result['task'] in TASKS}
    return [method for method in ORDER if method in found]


def retrievers_of(results: list[dict]) -> list[str]:
    """Methods that have a result in retrieval, in their order."""
    found = {result['method'] for result in results if result['task'] == CAPTIONS}
    return [method for method in RETRIEVERS if method in found]


def table(results: list[dict]) -> str:
    """The results as a Markdown table."""
    lines = [
        '| method | looks at order | tuned | motion, top-1 (seeds) | digit, top-1 (seeds) |',
        '|---|---|---|---|---|',
    ]
    for name in rows_of(results):
        method = METHODS[name]
        motion, digit = (select(results, name, task) for task in TASKS)
        tuned = f'{motion[0]["tuned"]:,}' if motion else ''
        sees = 'yes' if method.sees_order else 'no'
        lines.append(f'| {method.label} | {sees} | {tuned} | {cell(motion)} | {cell(digit)} |')
    lines.append(f'| any bag of frames, at most | no | | {BOUND:.1f} | |')
    return '\n'.join(lines)


def retrieval_table(results: list[dict]) -> str:
    """The results on the captions as a Markdown table."""
    lines = [
        '| method | looks at order | tuned | caption to video, R@1 | video to caption, R@1 |',
        '|---|---|---|---|---|',
    ]
    for name in retrievers_of(results):
        method, found = RETRIEVERS[name], select(results, name, CAPTIONS)
        sees = 'yes' if method.sees_order else 'no'
        ways = ' | '.join(cell(found, way) for way in WAYS)
        lines.append(f'| {method.label} | {sees} | {found[0]["tuned"]:,} | {ways} |')
    lines.append(f'| any bag of frames, at most | no | | {BOUND:.1f} | {BOUND:.1f} |')
    return '\n'.join(lines)


def changes(results: list[dict]) -> str:
    """What each row changes of its config, as a Markdown table."""
    lines = ['| method | config | changed fields |', '|---|---|---|']
    rows = [METHODS[name] for name in rows_of(results)]
    for method in rows + [RETRIEVERS[name] for name in retrievers_of(results)]:
        fields = ' '.join(
            f'{key}={value}'.replace(' ', '') for key, value in method.options.items()
        )
        lines.append(
            f'| {method.label} | `{method.config()}` | {f"`{fields}`" if fields else ""} |'
        )
    return '\n'.join(lines)


def unsteady(results: list[dict]) -> str:
    """Names the rows whose seeds lie far apart, '' if there are none."""
    keys = [(name, task, 'top1') for name in rows_of(results) for task in TASKS]
    keys += [(name, CAPTIONS, way) for name in retrievers_of(results) for way in WAYS]
    found = []
    for name, task, key in keys:
        values = [result[key] for result in select(results, name, task)]
        if values and max(values) - min(values) > FAR:
            reach = f'{min(values):.1f} to {max(values):.1f}'
            on = WHERE.get(key, task)
            found.append(f'{methods_of(task)[name].label} on {on} ({reach})')
    if not found:
        return ''
    rows = '; '.join(found)
    return (
        f'Seeds more than {FAR} points apart: {rows}. More epochs (`--epochs 10`) may settle it.\n'
    )


def origin(results: list[dict]) -> str:
    """Command, machine, versions and dates."""

    def every(key: str) -> str:
        found = [result[key] for result in results if result['epochs']]  # not what is untrained
        return ', '.join(dict.fromkeys(map(str, found)))

    return (
        f'`make benchmark`; seeds {every("seed")}; {every("epochs")} epochs of 800 clips, batch 8 '
        f'(captions 16), '
        f'float32; torch {every("torch")}; {every("machine")}; {every("date")}. '
        f'All {len(results)} results: [benchmark.json](benchmark.json).\n'
    )


def page(results: list[dict]) -> str:
    """docs/benchmark.md."""
    missing = [METHODS[m].label for m in ORDER if m not in rows_of(results)]
    missing += [
        f'{r.label} on captions' for m, r in RETRIEVERS.items() if m not in retrievers_of(results)
    ]
    left = f'Not run yet: {"; ".join(missing)}. `make benchmark` runs them.\n'
    notes = [NOTES, unsteady(results), left if missing else '', origin(results)]
    parts = [HEAD, table(results) + '\n', *filter(None, notes)]
    if retrievers_of(results):
        parts += [RETRIEVAL, retrieval_table(results) + '\n', ONE_STAGE]
    parts += ['## Settings\n', 'The digit task is the same with its lists and ten classes.\n']
    return '\n'.join([*parts, changes(results) + '\n'])


def draw_panel(axes: Axes, found: dict[str, list[float]], key: str) -> None:
    """Every method's seeds as dots and their mean as a bar, one line a method.

    Args:
        axes: where to draw.
        found: figures of the seeds by method.
        key: of `PANELS`.
    """
    methods = RETRIEVERS if key in WAYS else METHODS
    for y, (name, values) in enumerate(found.items()):
        if not values:
            continue
        colour = AWARE if methods[name].sees_order else BLIND
        axes.barh(y, mean(values), height=0.5, color=colour, alpha=0.28, linewidth=0)
        axes.plot([mean(values)] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2)
        axes.scatter(values, [y] * len(values), s=26, color=colour, edgecolor='white', zorder=3)
        text = f'{mean(values):.1f}'
        axes.text(102.5, y, text, va='center', fontsize=10, weight='bold', color=INK)
    if key != 'digit':
        axes.axvline(BOUND, color=LINE, linestyle=(0, (5, 4)), linewidth=1.3, zorder=2)
    if key == 'motion':
        note = 'most that a model blind\nto frame order can reach'
        axes.text(BOUND + 1.5, len(found) - 0.45, note, color=LINE, fontsize=8, va='top')
    axes.set_title(PANELS[key], fontsize=11.5, color=INK, loc='left', pad=10)
    low = len(found) + (0.25 if key in TASKS else -0.5)
    axes.set(xlim=(0, 118), ylim=(low, -0.6), xticks=range(0, 101, 25))
    axes.set_yticks(range(len(found)), [methods[name].label for name in found])
    axes.tick_params(axis='both', length=0, labelcolor=INK, labelsize=9.5)
    axes.grid(axis='x', color='#e6e9ec')
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def panels_of(results: list[dict]) -> list[dict[str, dict[str, list[float]]]]:
    """One or two lines of panels: by panel and method, figures of the seeds."""
    recognition = {
        task: {m: [r['top1'] for r in select(results, m, task)] for m in rows_of(results)}
        for task in TASKS
    }
    retrieval = {
        way: {m: [r[way] for r in select(results, m, CAPTIONS)] for m in retrievers_of(results)}
        for way in WAYS
    }
    return [line for line in (recognition, retrieval) if any(line.values())]


def draw(results: list[dict], path: Path) -> None:
    """Write the figure, a .png file."""
    lines = panels_of(results)
    rows = [len(next(iter(line.values()))) for line in lines]
    height = 1.1 + 0.85 * len(lines) + 0.42 * sum(rows)
    figure, panels = plt.subplots(
        len(lines), 2, figsize=(9.6, height), dpi=150, sharey='row', squeeze=False,
        height_ratios=[n + 0.85 for n in rows],
    )  # fmt: skip
    figure.subplots_adjust(
        left=0.235, right=0.985, wspace=0.06, hspace=0.75 / (height / len(lines) - 1.2),
        top=1 - 1.25 / height, bottom=0.4 / height,
    )  # fmt: skip
    for line, axes in zip(lines, panels, strict=True):
        for (key, found), place in zip(line.items(), axes, strict=True):
            draw_panel(place, found, key)
    title = 'Adapting an image model to video: top-1 and R@1 (%)'
    figure.text(0.02, 1 - 0.36 / height, title, fontsize=13.5, weight='bold', color=INK)
    kinds = {'looks at the order of frames': AWARE, 'does not': BLIND}
    x = 0.024
    for text, colour in kinds.items():
        figure.text(x, 1 - 0.68 / height, '\N{BLACK CIRCLE}', color=colour, fontsize=9)
        figure.text(x + 0.018, 1 - 0.68 / height, text, color=INK, fontsize=9)
        x += 0.22
    note = 'a dot a seed, their mean on the right'
    figure.text(x - 0.12, 1 - 0.68 / height, note, color='#66707a', fontsize=9)
    figure.savefig(path)
    plt.close(figure)
