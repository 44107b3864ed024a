"""Break videos, runs, files and configs at random, and see that nothing goes wrong in silence.

    python -m tools.trials [damage] [kills] [files] [settings] [--count N] [--seed S] [--only N]

Every case runs in a process of its own with a time limit. The exit status is 1 if one crashed
without a sentence, hung, or gave a wrong result without a word. Run from the repository's root.
"""

import argparse
import datetime
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ['PYTHONPATH'] = os.getcwd()  # for the commands that `fit` starts

import av  # noqa: E402
import torch  # noqa: E402
from mmengine.config import config as host_config  # noqa: E402

from .outcome import BAD, KINDS, Outcome, finish, run_cases, start  # noqa: E402

TRIALS = dict(damage=1000, kills=100, files=300, settings=200)  # cases of each
LIMIT, PREPARING = 180.0, 900.0  # seconds of a case, of making what the cases share


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.trials',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('trials', nargs='*', help=f'{", ".join(TRIALS)} [all]')
    add('--count', type=int, help=f'cases of each {list(TRIALS.values())}')
    add('--seed', type=int, default=0, help='another seed makes other cases [0]')
    add('--only', type=int, nargs='+', metavar='N', help='these cases alone; folders are kept')
    add('--show', nargs='+', choices=list(KINDS), default=BAD, help='outcomes to print [the bad]')
    add('--jobs', type=int, default=os.cpu_count(), help='cases at a time [one a core]')
    add('--limit', type=float, default=LIMIT, help=f'seconds a case may take [{LIMIT:g}]')
    args = parser.parse_args()
    unknown = set(args.trials) - set(TRIALS)
    if unknown:
        parser.error(f'no trials {", ".join(sorted(unknown))}; known: {", ".join(TRIALS)}')
    if args.only is not None and len(args.trials) != 1:
        parser.error('--only needs the trials that the case is of')
    return args


def run(name: str, args: argparse.Namespace, work: Path) -> dict[int, Outcome]:
    """All cases of one kind of trial, reported as they come."""
    module = import_module(f'.{name}', __package__)
    shared, begun = work / name, time.monotonic()
    if finish(start(partial(module.prepare, shared), work / f'{name}-prepared'), PREPARING) != 0:
        raise SystemExit(f'{name}: preparing failed:\n{_said(work / f"{name}-prepared")}')
    numbers = list(range(args.count or TRIALS[name])) if args.only is None else args.only
    case = partial(module.case, args.seed, shared)
    found = {}
    for number, outcome in run_cases(case, numbers, work / name, args.jobs, args.limit):
        found[number] = outcome
        if outcome.kind in args.show or args.only is not None:
            tell(name, number, outcome, args.seed)
        if args.only is None:
            shutil.rmtree(shared / f'case-{number}', ignore_errors=True)
        if len(found) % 50 == 0:
            so_far = f'{time.monotonic() - begun:.0f} s'
            print(f'{name}: {len(found)}/{len(numbers)}, {so_far}', file=sys.stderr)
    return dict(sorted(found.items()))


def tell(name: str, number: int, outcome: Outcome, seed: int) -> None:
    """A case in a line, and how to run it again."""
    again = f'python -m tools.trials {name} --seed {seed} --only {number}'
    print(f'{outcome.kind}: {outcome.tried}: {outcome.said}\n    {again}', flush=True)


def _said(folder: Path) -> str:
    return (folder / 'said.txt').read_text(errors='replace')[-3000:]


def table(found: dict[str, dict[int, Outcome]]) -> str:
    """Outcomes by kind of trial, as Markdown."""
    lines = ['| trials | cases | ' + ' | '.join(KINDS) + ' |', '|---' * (len(KINDS) + 2) + '|']
    for name, outcomes in found.items():
        count = Counter(outcome.kind for outcome in outcomes.values())
        cells = ' | '.join(str(count[kind]) for kind in KINDS)
        lines.append(f'| {name} | {len(outcomes)} | {cells} |')
    return '\n'.join([*lines, '', *(f'* {kind}: {what}' for kind, what in KINDS.items())])


def main() -> None:
    """Run the trials and print the table."""
    args = parse_args()
    host_config.FormatCode = lambda text, **_: (text, True)  # of logs: it takes most of a toy run
    work, begun = Path(tempfile.mkdtemp(prefix='trials-')), time.monotonic()
    try:
        found = {name: run(name, args, work) for name in args.trials or TRIALS}
    finally:
        if args.only is None:
            shutil.rmtree(work, ignore_errors=True)
        else:
            print(f'kept: {work}', file=sys.stderr)
    versions = f'torch {torch.__version__}, av {av.__version__}, {datetime.date.today()}'
    machine = f'{platform.machine()}, {os.cpu_count()} cores'
    print(f'\n{machine}, {versions}, seed {args.seed}, {time.monotonic() - begun:.0f} s\n')
    print(table(found))
    sys.exit(any(o.kind in BAD for outcomes in found.values() for o in outcomes.values()))


if __name__ == '__main__':
    main()
