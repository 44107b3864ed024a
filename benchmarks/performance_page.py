"""docs/performance.md from the dated files of this folder."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from performance_rows import ROWS, Row

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / 'docs' / 'performance.md'
NONE = 'not measured: no card yet'
CARDS = {'a100': 'A100', 'h100': 'H100', '4090': '4090'}
GB = 1e9
MEMORY = {  # of benchmarks/recompute_steps.py: the peak that is wanted, GB, by step
    'ST-Adapter B/16 12x384': dict(elementwise=10.5, mlp=8.4, attention=4.9, block=3.0),
    'Side4Video B/16 light 6x192': dict(block=1.40),
    'Side4Video B/16 12x320': dict(block=2.64),
    'Side4Video L/14 light 12x320': dict(block=2.63),
    'Side4Video L/14 24x512': dict(block=5.39),
}
INTRODUCTION = """\
# Performance

What a training step takes, for every method, trunk and precision. Written by
`python benchmarks/performance.py` from the files of [benchmarks/](../benchmarks) that each table
names; `--page` writes the page alone. For a config of your own, and other cards and batches, ask
`mmstadapter plan CONFIG`.

**No step of this page was timed on a GPU yet**: none could be had. Memory, operations and traffic
are counted operator by operator on tensors without content. Times of cards are lower bounds that
follow from the counts: each operator takes the longer of computing (data sheet, 16-bit products
without sparsity) and of moving its bytes, one after the other, without gaps, uncompiled. Expect
more from a clock. A run of [benchmarks/gpu/](../benchmarks/gpu/README.md) into
`benchmarks/gpu/results/<date>_<card>` fills the measured columns.
"""
GOALS = """\
*Predicted* is the step as it is, operator by operator: half to two thirds of its least time are
not matrix products but element-wise operators. *Compiled* is the same step with `compile = True`:
PyTorch's Inductor joins operators into kernels by its rules for an H100, and their traffic is
counted (`{file}`, written by `python benchmarks/compiled_steps.py`). Both stand beside the authors'
form uncompiled, as they released it, and leave out what launching kernels costs. Both methods'
authors run CLIP's layer norm on a float32 copy and its QuickGELU as two factors, in the frozen
trunk too, and so does the bfloat16 trunk's forward pass.
"""
PROCESSOR = """\
Batch 1, forward and backward; the authors' form is their operators on the same parameters. Nearly
all of a float32 step is matrix products, attention and convolutions. On AMD's CPUs with AVX-512, of
which this is one, the package has the products computed by oneDNN, at twice the rate of PyTorch's
own ([measured](../benchmarks/cpu_products_x86-2core_torch2.13.0.md)), and a compiler does not; on
other CPUs both forms have the same products, and what the lean forms save is in the rest.
"""
COLUMNS = """\
*clips x frames*: of a step on one of eight cards, as the papers train.
*peak*: the most alive at any time, GB of 1e9 bytes, with weights, gradients, bucket, the
optimiser's states and temporaries; without the 1 to 3 GB of a context and its allocator.
*authors' form*: their operators at the same size, same account, same run. *published*: Table 2 of
the Side4Video paper, one A100, context and allocator included. *TFLOP*: a multiply-add is two.
*at least*: milliseconds of a step. *clips/s*: at most, of an H100. *roofline*: the share of the
H100's least time that is matrix products at full rate; of a measured step, of the products that
the card was measured to do. 16 bit: bfloat16 autocast, frozen weights stored in bfloat16.
"""


def page() -> str:
    """The whole page."""
    stored = json.loads(latest('performance_torch*.json').read_text())
    parts = [INTRODUCTION, *goals(stored['entries']), *methods(stored), *processor()]
    return '\n'.join(parts).rstrip() + '\n'


def latest(pattern: str) -> Path:
    """The stored file of a kind, the last by name."""
    return max(FOLDER.glob(pattern))


# ---------------------------------------------------------------- every method


def methods(stored: dict[str, Any]) -> Iterator[str]:
    """The table of all rows in both precisions."""
    entries = stored['entries']
    dates = sorted({entry['date'] for entry in entries.values()})
    versions = sorted({entry['torch'] for entry in entries.values()})
    yield '## Every method, trunk and precision\n'
    yield COLUMNS
    yield f'`{latest("performance_torch*.json").name}`: {stored["machine"]}, torch ' + (
        f'{", ".join(versions)}, {" to ".join(dict.fromkeys((dates[0], dates[-1])))}.\n'
    )
    cards = ' | '.join(f'{name} at least, ms' for name in CARDS.values())
    head = (
        "method | trunk | precision | clips x frames | peak | authors' form | published | TFLOP | "
        f'{cards} | clips/s | roofline | measured'
    )
    yield f'| {head} |\n{"|---" * (head.count("|") + 1)}|'
    for row in ROWS:
        for precision in ('16 bit', 'float32'):
            if row.key(precision) in entries:
                yield line(row, precision, entries)
    yield ''


def line(row: Row, precision: str, entries: dict[str, Any]) -> str:
    """A row of the table."""
    e, half = entries[row.key(precision)], precision == '16 bit'
    authors = entries.get(f"{row.key(precision)}, authors' form")
    times = [f'{1e3 * e["seconds"][card]:.0f}' for card in CARDS]
    cells = [
        row.method,
        row.trunk,
        precision,
        f'{e["clips"]} x {e["frames"]}',
        f'{e["peak"] / GB:.1f}',
        f'{authors["peak"] / GB:.1f}' if authors else '',
        str(row.paper or '') if half else '',
        f'{e["operations"] / 1e12:.1f}',
        *times,
        f'{e["clips"] / e["seconds"]["h100"]:.0f}',
        f'{100 * e["products"]["h100"] / e["seconds"]["h100"]:.0f} %',
        (measured(row, e) if half else '') or NONE,
    ]
    return f'| {" | ".join(cells)} |'


def measured(row: Row, entry: dict[str, Any]) -> str:
    """What runs on GPUs found: time, memory, clips a second, share of the roofline."""
    found = []
    for card, rows in gpu_runs():
        for name, values in rows.items():
            if row.measured and name == f'{row.measured}, {entry["clips"]}x{entry["frames"]}, ours':
                share = f'{100 * values["share"]:.0f} % of its own products'
                found.append(
                    f'{card}: {values["ms"]:.0f} ms, {values["clips_s"]:.0f} clips/s, '
                    f'{values["peak_gb"]:.1f} GB, {share}'
                )
    return '; '.join(found)


def gpu_runs() -> Iterator[tuple[str, dict[str, dict]]]:
    """Name of a card and date, and the rows of the section 'steps' by name, of each stored run."""
    for file in sorted(FOLDER.glob('gpu/results/*/results.jsonl')):
        rows = [json.loads(text) for text in file.read_text().splitlines()]
        yield file.parent.name, {row['name']: row for row in rows if row['section'] == 'steps'}


# ----------------------------------------------------------------------- goals


def goals(entries: dict[str, Any]) -> Iterator[str]:
    """The table of goals, each beside what is predicted or measured."""
    file = latest('compiled_steps_torch*.json')
    compiled = json.loads(file.read_text())
    yield '## Goals\n'
    yield GOALS.format(file=file.name)
    yield '| goal | wanted | predicted | predicted, compiled | measured |\n|---|---|---|---|---|'
    for row in ROWS:
        if row.authors:
            yield against_authors(row, entries, compiled)
    yield trunk_goal(entries, compiled)
    yield large_goal(entries)
    yield from memory_goals()
    for file in processor_files():
        for name, (plain, joined) in processor_ratios(file).items():
            yield (
                f"| {name} on a CPU, {precision_of(file)}, step to the authors' | 0.85 | | | "
                f'{plain:.2f}, compiled {joined:.2f} |'
            )
    yield ''


def against_authors(row: Row, entries: dict[str, Any], compiled: dict[str, Any]) -> str:
    """Time and memory to the authors' form on an H100."""
    key, wanted = row.key('16 bit'), 0.6 if row.method.startswith('ST') else 0.7
    theirs = entries[f"{key}, authors' form"]
    return (
        f"| {row.method}, {row.trunk}, on a GPU, step to the authors' | {wanted} | "
        f'H100: {ratios(entries[key], theirs)} | {ratios(compiled[key], theirs)} | '
        f'{ratio_on_gpu(row) or NONE} |'
    )


def ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Of two entries, an H100's time and the memory."""
    mine, other = (1e3 * entry['seconds']['h100'] for entry in (ours, theirs))
    memory = ours['peak'] / theirs['peak']
    return f'{mine / other:.2f} ({mine:.0f} of {other:.0f} ms), memory {memory:.2f}'


def ratio_on_gpu(row: Row) -> str:
    """Ours to the plain form, of each run on a GPU."""
    name = f'{row.measured}: ratio to plain'
    return '; '.join(f'{c}: {rows[name]["ours"]:.2f}' for c, rows in gpu_runs() if name in rows)


def trunk_goal(entries: dict[str, Any], compiled: dict[str, Any]) -> str:
    """A step of Side4Video light beside the forward pass of the trunk alone."""
    key = 'Side4Video light 6x192, CLIP B/16, 16 bit'
    trunk = 1e3 * entries['trunk vit-b-p16, forward, 16 bit']['seconds']['h100']
    plain, joined = (1e3 * found[key]['seconds']['h100'] for found in (entries, compiled))
    return (
        "| Side4Video light, B/16, on a GPU, step to the bfloat16 trunk's forward | 1.0 | H100: "
        f'{plain / trunk:.2f} ({plain:.0f} of {trunk:.0f} ms) | '
        f'{joined / trunk:.2f} ({joined:.0f} of {trunk:.0f} ms) | {NONE} |'
    )


def large_goal(entries: dict[str, Any]) -> str:
    """ViT-E/14 with 8 frames in 24 GB."""
    lean = entries['Side4Video 32x576, frames_per_pass=8, EVA-CLIP E/14, 16 bit']
    recipe = entries['Side4Video 32x576, EVA-CLIP E/14, 16 bit']
    return (
        f'| Side4Video E/14, 8 frames, on one card of 24 GB | 24 GB | yes: {recipe["clips"]} clips '
        f"{recipe['peak'] / GB:.1f} GB as shipped (bfloat16, recompute='block'), one clip with "
        f'frames_per_pass=8 {lean["peak"] / GB:.1f} GB | | {NONE} |'
    )


def memory_goals() -> Iterator[str]:
    """Peaks of steps of ``recompute``, as recompute_steps.py counted them."""
    peaks = {
        (model, step): float(peak)
        for model, step, peak in re.findall(
            r'^\| ([^|]+) \| [^|]+ \| `(\w+)` \| ([\d.]+) \|',
            latest('recompute_steps_*.md').read_text(),
            re.M,
        )
    }
    for model, wanted in MEMORY.items():
        found = ' / '.join(f'{peaks[model, step]:.2f}' for step in wanted)
        yield (
            f'| {model}, on a GPU, peak with `recompute` {" / ".join(wanted)} | '
            f'{" / ".join(map(str, wanted.values()))} GB | {found} GB | | {NONE} |'
        )


# --------------------------------------------------------------------- a CPU


def processor() -> Iterator[str]:
    """The tables that step_time.py measured on a CPU."""
    yield '## Measured on a CPU\n'
    yield PROCESSOR
    for file in processor_files():
        text = file.read_text()
        yield f'`{file.name}`: {line_of(file)}. {"; ".join(ratios_in_words(file))}.\n'
        yield text[text.index('| CLIP') :]


def processor_files() -> list[Path]:
    """What step_time.py wrote, one file for each precision."""
    return sorted(FOLDER.glob('step_time_*.md'), reverse=True)


def line_of(file: Path) -> str:
    """The line that says what was measured where."""
    return re.search(r'^.*thread.*$', file.read_text(), re.M)[0]


def precision_of(file: Path) -> str:
    """float32 or bfloat16."""
    return re.search(r'b?float\d\d', line_of(file))[0]


def ratios_in_words(file: Path) -> Iterator[str]:
    """Each method to the authors' form."""
    for name, (plain, joined) in processor_ratios(file).items():
        yield f"{name} takes {plain:.2f} of the authors' form, compiled {joined:.2f}"


def processor_ratios(file: Path) -> dict[str, tuple[float, float]]:
    """Seconds of each method, plain and compiled, over those of the authors' form."""
    found = re.findall(r'^\| (.+?) \| ([\d.]+) \|', file.read_text(), re.M)
    seconds = {name: float(s) for name, s in found}
    ratios = {}
    for name in (row.processor for row in ROWS if row.processor):
        theirs = seconds[f"{name}, authors' form"]
        ratios[name] = seconds[name] / theirs, seconds[f'{name}, compiled'] / theirs
    return ratios
