"""From a command's start to what a user waits for: the package imported, the first training step.

Writes Markdown. The training is a shipped recipe of the moving digits, as a user starts it, with
`default_hooks.logger.interval=1`; a step is over when its line is printed. It needs the data that
`mmstadapter demo` and `mmstadapter leaderboard` make.

    python benchmarks/first_step.py [--folder DIR] > benchmarks/first_step_<machine>_<torch>.md
"""

import argparse
import datetime
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

RECIPE = 'stadapter_vit-tiny_demo-motion.py'
STEP = re.compile(r'Epoch\(train\) +\[1\]\[')
TICKS = os.sysconf('SC_CLK_TCK')


def importing(module: str) -> tuple[float, float]:
    """Seconds of a Python that imports a module and ends: on the clock, of processor time."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, '-c', f'import {module}'], check=True)
    wall, after = time.perf_counter() - begun, os.times()
    user = after.children_user - before.children_user
    return wall, user + after.children_system - before.children_system


def training(cwd: str) -> tuple[float, float]:
    """The same of `mmstadapter train`, its loading processes among it, until its first step."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, '-u', '-m', 'mmstadapter', 'train', RECIPE, '--work-dir', folder]
        line += ['--cfg-options', 'default_hooks.logger.interval=1']
        begun = time.perf_counter()
        with subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
            start_new_session=True,
        ) as process:  # fmt: skip
            said = []
            for text in process.stdout:
                said.append(text)
                if STEP.search(text):
                    break
            wall, busy = time.perf_counter() - begun, of_group(process.pid)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if not (said and STEP.search(said[-1])):
        raise SystemExit(f'{" ".join(line)} ended before its first step:\n{"".join(said)}')
    return wall, busy


def of_group(group: int) -> float:
    """Processor seconds of the processes of a group that live, and of their ended children."""
    total = 0
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(fields[2]) == group:
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def least(measure: Callable[..., tuple[float, float]], given: str, times: int) -> str:
    """Of some runs, after one that fills the file cache; what is more is the neighbours'."""
    measure(given)
    wall, busy = map(min, zip(*(measure(given) for _ in range(times)), strict=True))
    return f'{busy:.2f} | {wall:.2f}'


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--folder', type=Path, default=Path(), help='that has data/ [this one]')
    parser.add_argument('--times', type=int, default=5)
    args = parser.parse_args()
    print('# From the start of a command\n')
    print(
        f'{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, '
        f'torch {torch.__version__}, Python {platform.python_version()}, '
        f'{datetime.date.today()}. The least of {args.times} after one that fills the file cache.\n'
    )
    print('| | processor s | on the clock s |\n|---|---|---|')
    for module in ('torch', 'mmstadapter'):
        print(f'| `import {module}` | {least(importing, module, args.times)} |', flush=True)
    print(
        f'| `train {RECIPE}` to its first step | {least(training, str(args.folder), args.times)} |'
    )


if __name__ == '__main__':
    main()
