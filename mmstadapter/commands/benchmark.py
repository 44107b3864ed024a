"""Compare ways to adapt an image model to video on moving digits, over several seeds.

    mmstadapter benchmark                # all rows of docs/benchmark.md; up to an hour on 2 cores

The rows of ST-Adapter's Tables 1 and 5 and Side4Video on the tiny image model, two tasks, and
search by caption on the same clips; three seeds. Every run is a shipped config with some fields
changed, trained by the ordinary runner. A finished run is not done again; the table and the
figure are written from what is finished, also after an interruption.
"""

import argparse
import os

from mmstadapter_cli import load, parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = parser_of('benchmark', __doc__)
    add = parser.add_argument
    add('--data-root', default='data/moving_digits', help='folder of the data and the image model')
    add('--work-dir', default='work_dirs/benchmark', help='folder of results and logs')
    runs = load('demo.benchmark_runs')
    rows, tasks = list(runs.METHODS | runs.RETRIEVERS), [*runs.TASKS, runs.CAPTIONS]
    add('--methods', nargs='+', choices=rows, default=rows, help='rows [all]')
    add('--tasks', nargs='+', choices=tasks, default=tasks, help='[all]')
    add('--seeds', nargs='+', type=int, default=[0, 1, 2], help='[0 1 2]')
    add('--epochs', type=int, help="epochs of every run, at least 2 [the configs' 6]")
    add('--jobs', type=int, default=min(2, os.cpu_count() or 1), help='runs at a time')
    add('--docs', default='docs', help='folder for benchmark.json, benchmark.md, benchmark.png')
    add('--report', action='store_true', help='no runs: write the table of what is finished')
    args = parser.parse_args(argv)
    if args.epochs is not None and args.epochs < 2:
        parser.error(f'--epochs must be at least 2, the first is for warming up; got {args.epochs}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, and write the report."""
    args = parse_args(argv)
    from mmstadapter.demo.benchmark import compare

    compare(args)
