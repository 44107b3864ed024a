"""Show what an adapter for video adds, on moving digits, from nothing to a table and a picture.

    mmstadapter demo                # five to six minutes on two idle cores

Makes the data set and the tiny image model, then trains and tests a linear probe and an
ST-Adapter on two tasks, through `mim train` and `mim test`, and a Side4Video retrieval model, with
which it searches the validation clips for a sentence. A run that was stopped goes on
where it was; what is finished is not done again.
"""

import argparse
import os

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = parser_of('demo', __doc__)
    add = parser.add_argument
    add('--data-root', default='data/moving_digits', help='folder of the data and the image model')
    add('--work-dir', default='work_dirs/demo', help='folder of logs, checkpoints and the picture')
    add('--epochs', type=int, help="epochs of every run, at least 2 [the configs' 6]")
    add('--jobs', type=int, default=min(2, os.cpu_count() or 1), help='runs at a time')
    add('--fresh', action='store_true', help='do finished steps again')
    args = parser.parse_args(argv)
    if args.epochs is not None and args.epochs < 2:
        parser.error(f'--epochs must be at least 2, the first is for warming up; got {args.epochs}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Do all steps and show what came out."""
    args = parse_args(argv)
    from mmstadapter.demo.demonstration import demonstrate

    demonstrate(args)
