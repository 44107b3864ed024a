"""The leaderboard's page and picture, made from its results alone."""

import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import mean, stdev

from .results import TRUNKS, Result
from .tasks import TASKS, Task

LOADERS = ('train', 'val', 'test')
WANTED = 3.0  # points of standard error that a row should be under
NAMES = {'clip-tiny': 'Tiny CLIP', 'timm-tiny': 'Tiny vision transformer of timm'}
HEAD = """# The leaderboard: ways to adapt an image model to video

Every recipe of the tiny image models of [the embedded data sets](../tools/data/moving_digits/README.md), trained by the ordinary runner; real video files, nothing to download. It shows whether methods see time, how much they learn from few clips, and what they take, on one machine under one recipe. It does not show what they reach at full size: images are 32 pixels wide, trunks have 4 layers. Nor does it ask for reach over many frames: tasks of order at a distance, with exact bounds, were tried in four forms, and no method learnt one within minutes.

![Accuracy of every method on every task](leaderboard.png)

A figure is the mean of seeds ± its standard error, then the 95 % interval of the mean by Student's t, and the number of seeds; 1 seed has no interval. Seeds change the new layers' start, the order of the clips, the sampled frames and, with few shots, the clips; data and image models are one. Rows without frame order cannot pass the bound, which is exact. Tuned parameters include the classifier; MMAC are 1e6 multiply-adds of the backbone on a clip; the peak is that of a training step in 1e6 bytes, accounted on empty tensors; a step's time is the least processor time of a run's steps in ms, one thread, decoding left out, "–" where it was not measured (`inputs.step_measured` in a file says that it was measured apart, and when); differences under a quarter mean little. Batch 8, captions 16, float32. All rows take the settings that `make demo` chose on this validation set for the linear probe and ST-Adapter, with a quarter of the rate for pretrained tensors where they are tuned: no method was tuned by itself.

"""  # noqa: E501
ADD = """## Add a row

A result is one JSON file in a folder of its own below [leaderboard/](../leaderboard); the folder's name is free. `make leaderboard` runs what has no result, here or for a new recipe `configs/<method>_vit-tiny_demo-motion.py`, and writes the files; a method from elsewhere is a file by hand with the same fields. `mmstadapter leaderboard --report` checks all files (every field there, no other, no number that is none, no run twice, none that is blind to order above the bound) and makes this page anew. The fields:

{fields}
"""  # noqa: E501

TASK_SETTINGS = """What a task changes of all of them, as `--cfg-options` of `mmstadapter train RECIPE`; with few shots also the list of a draw, as `train_dataloader.dataset.ann_file`:
"""  # noqa: E501


def figure(values: list[float]) -> str:
    """Figures of the seeds -> '63.3 ± 2.1, 54.3 to 72.3 (3)'."""
    if len(values) == 1:
        return f'{values[0]:.1f} (1 seed: no interval)'
    low, high = interval(values)
    middle = f'{mean(values):.1f} ± {standard_error(values):.1f}'
    return f'{middle}, {low:.1f} to {high:.1f} ({len(values)})'


def standard_error(values: list[float]) -> float:
    """Of the mean of two or more values."""
    return stdev(values) / len(values) ** 0.5


def interval(values: list[float]) -> tuple[float, float]:
    """95 % confidence of the mean by Student's t, within 0 and 100."""
    from scipy.stats import t  # comes with scikit-learn

    reach = t.ppf(0.975, len(values) - 1) * standard_error(values)
    return max(0.0, mean(values) - reach), min(100.0, mean(values) + reach)


def rows_of(results: Iterable[Result], trunk: str, task: str) -> list[list[Result]]:
    """The seeds of each method, the best method first."""
    rows: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if (result.trunk, result.task) == (trunk, task):
            rows[result.method].append(result)
    first = next(iter(TASKS[task].scores))
    return sorted(
        rows.values(),
        key=lambda row: (-mean(r.scores[first] for r in row), row[0].tuned, row[0].label),
    )


def middle(values: Iterable[float | None], digits: int = 1) -> str:
    """Mean of what was measured; '–' if nothing was."""
    found = [value for value in values if value is not None]
    return f'{mean(found):,.{digits}f}' if found else '–'


def line(row: list[Result], task: Task) -> str:
    """A row of a table."""
    first = row[0]
    cells = [
        first.label,
        'yes' if first.sees_order else 'no',
        f'{first.tuned:,}',
        f'{1000 * first.gmac:.1f}',
        middle(r.peak_mb for r in row),
        middle(r.step_ms for r in row),
        *(figure([r.scores[name] for r in row]) for name in task.scores),
    ]
    return f'| {" | ".join(cells)} |'


def table(rows: list[list[Result]], task: Task) -> str:
    """A task's rows as a Markdown table."""
    heads = ['method', 'order', 'tuned', 'MMAC', 'peak, MB', 'step, ms', *task.scores.values()]
    lines = [f'| {" | ".join(heads)} |', '|---' * len(heads) + '|']
    lines += [line(row, task) for row in rows]
    if task.bound:
        bounds = f'| {task.bound:.1f} ' * len(task.scores)
        lines.append(f'| any bag of frames, at most | no | | | | {bounds}|')
    return '\n'.join(lines)


def unsteady(rows: list[list[Result]], task: Task) -> str:
    """Names the rows with a large standard error, '' if there are none."""
    found = [
        f'{row[0].label} ({max(errors):.1f})'
        for row in rows
        if len(row) > 1
        and max(errors := [standard_error([r.scores[s] for r in row]) for s in task.scores])
        > WANTED
    ]
    if not found:
        return ''
    return f'\nStandard error above {WANTED:.0f}: {"; ".join(found)}. More seeds will settle it.\n'


def sections(results: list[Result]) -> Iterator[str]:
    """A table a task and trunk."""
    for name, task in TASKS.items():
        found = [(trunk, rows) for trunk in TRUNKS if (rows := rows_of(results, trunk, name))]
        if found:
            yield f'## {task.title}\n\n`{name}`: {task.text}\n'
        for trunk, rows in found:
            yield f'**{NAMES[trunk]}**\n\n{table(rows, task)}\n{unsteady(rows, task)}'


def field_list() -> str:
    """The fields of a file with what each holds, from the docstring of `Result`."""
    about = (inspect.getdoc(Result) or '').partition('Attributes:\n')[2]
    about = about.replace('``', '`').replace('; None ', '; null ')
    return '\n'.join(f'- {line.strip()}' for line in about.splitlines())


def settings(results: list[Result]) -> str:
    """What each row changes of its config on its first task, as a Markdown table."""
    lines = ['| method | config | changed fields |', '|---|---|---|']
    seen: dict[tuple[str, str], Result] = {}
    for result in results:
        seen.setdefault((result.label, result.config), result)
    for (label, config), result in sorted(seen.items()):
        task = TASKS[result.task].options
        fields = ' '.join(
            f'{key}={value}'.replace(' ', '')
            for key, value in result.options.items()
            if key not in task
        )
        lines.append(f'| {label} | `{config}` | {f"`{fields}`" if fields else ""} |')
    return '\n'.join(lines)


def task_settings(results: list[Result]) -> str:
    """What each task changes of every config of its kind."""
    lines = ['| task | changed fields |', '|---|---|']
    for name in TASKS:
        if any(result.task == name for result in results) and TASKS[name].options:
            fields = ' '.join(f'{key}={value}' for key, value in fields_of(name).items())
            lines.append(f'| `{name}` | `{fields}` |')
    return '\n'.join(lines)


def fields_of(name: str) -> dict:
    """A task's changed fields and the folder of its data."""
    roots = {f'{x}_dataloader.dataset.data_root': f'data/{TASKS[name].data}' for x in LOADERS}
    return (roots if TASKS[name].data != 'moving_digits' else {}) | TASKS[name].options


def origin(results: list[Result]) -> str:
    """Machines, versions, dates and image models."""

    def every(values: Iterable) -> str:
        return ', '.join(sorted({str(value) for value in values}))

    versions: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for name, version in result.versions.items():
            versions[name].add(str(version))
    told = '; '.join(f'{name} {every(found)}' for name, found in sorted(versions.items()))
    dates = [result.date for result in results]
    models = every(str(r.inputs.get('image_model', 'not said'))[:12] for r in results)
    return (
        f'{len(results)} results; {every(r.machine for r in results)}; {told}; '
        f'{" to ".join(sorted({min(dates), max(dates)}))}; image models (the start of their '
        f'SHA-256): {models}. Between files of an image model that were trained on '
        'different machines figures may differ by a few points.\n'
    )


def text(results: list[Result]) -> str:
    """docs/leaderboard.md."""
    parts = [
        HEAD.rstrip() + '\n',
        *sections(results),
        ADD.format(fields=field_list()),
        '## Settings\n',
    ]
    parts += ['Recipes, and what a row changes of them:\n', settings(results) + '\n']
    parts += [TASK_SETTINGS, task_settings(results) + '\n']
    return '\n'.join([*parts, origin(results)])
