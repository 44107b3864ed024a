"""Train on a folder of class folders of videos, from nothing to an adapter file.

    mmstadapter fit DIR [--work-dir DIR] [--arch vit-b-p16] [--dry-run] ...

DIR holds a folder of videos for each class (or train/ and val/ with such folders). Checks every
video, splits, writes lists and a config with a recipe by data size, trains, tests, and writes
adapter.safetensors, confusion.png and mistakes.html. Called again, it goes on where it stopped.
"""

import argparse
import shlex
import sys

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; defaults that are None are chosen by the recipe."""
    parser = parser_of('fit', __doc__)
    add = parser.add_argument
    add('root', metavar='DIR', help='folder of class folders of videos')
    add('--work-dir', help='folder of everything written [work_dirs/fit_<name of DIR>]')
    add('--arch', help='vit-b-p16, vit-b-p32, vit-l-p14 or vit-l-p14-336 [vit-b-p16]')
    add('--checkpoint', help="the trunk's weights: a file or a known name [OpenAI's for the arch]")
    add('--base', help='inherit this config, path or shipped name, instead of the one for --arch')
    add('--val-fraction', type=float, default=0.2, help='share of each class to test on [0.2]')
    add('--seed', type=int, default=0, help='another split [0]')
    add('--epochs', type=int, help='at least 2')
    add('--batch-size', type=int, help='clips a step')
    add('--lr', type=float, help='peak learning rate')
    add('--sampling', choices=['auto', 'stride', 'segments', 'base'], help='which frames [auto]')
    add('--every-frame', action='store_true', help='decode all frames when checking the videos')
    add('--num-workers', type=int, help='data-loading processes [cores, up to 8]')
    add('--dry-run', action='store_true', help='write lists and config, do not train')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says."""
    args = vars(parse_args(argv))
    dry_run, options = args.pop('dry_run'), args.pop('cfg_options')
    from mmstadapter.apis.fitting import ADAPTER, Fit

    try:
        fit = Fit.prepare(options=options, **args)
        print(fit.describe(), flush=True)
        if dry_run:
            for name, command in fit.commands().items():
                print(f'{name}: {shlex.join(command)}')
            return
        result = fit.run()
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    print(f'\ntop-1 {result["top1"]:.1f} % of {result["videos"]} videos')
    for name in (ADAPTER, 'confusion.png', 'mistakes.html'):
        print(f'  {fit.work_dir / name}')
    print(f'mmstadapter predict {fit.work_dir / ADAPTER} VIDEO')
