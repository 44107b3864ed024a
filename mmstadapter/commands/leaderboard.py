"""Compare all methods on the demonstration's tasks: accuracy, parameters, memory and time.

    mmstadapter leaderboard                                  # all of docs/leaderboard.md
    mmstadapter leaderboard --methods aim --tasks counting --seeds 0 1 2
    mmstadapter leaderboard --report                         # no runs: the page from the folder

Every recipe of the tiny image model is a row, on every task and trunk that it can take. Every
run is a shipped config with some fields changed, trained by the ordinary runner, one thread
each. A result is one file, leaderboard/METHOD_TRUNK_TASK_SEED/result.json, which is there once
the run is complete: a command that was stopped goes on. The page is made of the files alone;
who adds a folder with such a file adds a row.
"""

import argparse
import os

from mmstadapter_cli import load, parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = parser_of('leaderboard', __doc__)
    add = parser.add_argument
    tasks, trunks = list(load('demo.tasks').TASKS), list(load('demo.results').TRUNKS)
    add('--methods', nargs='+', metavar='METHOD', help='rows [all]')
    add('--trunks', nargs='+', choices=trunks, default=trunks, help='[all]')
    add('--tasks', nargs='+', choices=tasks, default=tasks, help='[all]')
    add('--seeds', nargs='+', type=int, default=[0, 1, 2], help='[0 1 2]')
    add('--jobs', type=int, default=min(2, os.cpu_count() or 1), help='runs at a time')
    add('--results', default='leaderboard', help='folder of the results [leaderboard]')
    add('--page', default='docs/leaderboard.md', help='the page; its picture lies beside it')
    add('--data-root', default='data', help='folder of the data sets and image models [data]')
    add('--work-dir', default='work_dirs/leaderboard', help='folder of logs')
    add('--report', action='store_true', help='no runs: make the page anew')
    args = parser.parse_args(argv)
    rows = {
        name for kind in load('demo.methods').KINDS for name in load('demo.methods').methods(kind)
    }
    if unknown := sorted({*(args.methods or ())} - rows):
        parser.error(f'no method {", ".join(unknown)}; there are {", ".join(sorted(rows))}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, and write the page."""
    args = parse_args(argv)
    from mmstadapter.demo.leaderboard import compare

    compare(args)
