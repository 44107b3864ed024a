"""Train on videos of your own, by classes or captions, from nothing to an adapter file.

    mmstadapter fit DIR [--work-dir DIR] [--arch vit-b-p16] [--dry-run] ...
    mmstadapter fit captions.csv [--videos DIR] ...

DIR holds a folder of videos for each class, or train/, val/ and test/ with such folders. Checks
every video, splits, writes lists and a config with a recipe by data size, says how long it will
take, trains, tests, and writes adapter.safetensors, confusion.png and mistakes.html. Called again,
it goes on where it stopped.

captions.csv has the columns video and caption, several rows a video if you like, and perhaps split:
then a model is trained that finds videos by a sentence, for `mmstadapter index` and `search`.
"""

import argparse
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from mmstadapter_cli import load, parser_of

if TYPE_CHECKING:
    from mmstadapter.apis.finished import Fitted


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; defaults that are None are chosen by the recipe."""
    parser = parser_of('fit', __doc__)
    add = parser.add_argument
    add('root', metavar='DIR', help='folder of class folders of videos, or a CSV of captions')
    add('--videos', help="folder that the CSV's paths start from [the CSV's]")
    add('--work-dir', help='folder of everything written [work_dirs/fit_<name of DIR>]')
    add('--arch', help='vit-b-p16, vit-b-p32, vit-l-p14 or vit-l-p14-336 [vit-b-p16]')
    add(
        '--method',
        help='stadapter, side4video, tdsclip, aim, zeroi2v, evl, dist, probe, linear, attnpool, '
        'lora, dora [stadapter]; with captions: stadapter, side4video, clip4clip, tempme, lora, '
        'dora',
    )
    add('--checkpoint', help="the trunk's weights: a file or a known name [OpenAI's for the arch]")
    add('--base', help='inherit this config, path or shipped name, instead of --arch, --method')
    add(
        '--val-fraction',
        type=float,
        default=0.2,
        help='share of each class, or of captioned videos, to test on [0.2]',
    )
    add('--seed', type=int, default=0, help='another split [0]')
    add('--epochs', type=int, help='at least 2')
    add('--batch-size', type=int, help='clips a step')
    add('--lr', type=float, help='peak learning rate')
    add('--sampling', choices=['auto', 'stride', 'segments', 'base'], help='which frames [auto]')
    add(
        '--mirror',
        action=argparse.BooleanOptionalAction,
        help='train on mirror images too [tried on a few clips; off in doubt, and with captions]',
    )
    add(
        '--layout',
        choices=['auto', 'classes'],
        default='auto',
        help='classes: the folders in DIR are the classes, whatever they look like [auto]',
    )
    add('--every-frame', action='store_true', help='decode all frames when checking the videos')
    add('--num-workers', type=int, help='data-loading processes [cores, up to 8]')
    add(
        '--cache-features',
        nargs='?',
        const=True,
        metavar='FOLDER',
        dest='features',
        help='let a frozen trunk look at the clips once and keep what it gives, here or in the '
        'work dir; size and time are said before',
    )
    add('--feature-copies', type=int, default=4, help='augmented clips kept of each video [4]')
    add('--exact-features', action='store_true', help='keep float32 as it is [as float16]')
    add('--dry-run', action='store_true', help='write lists and config, do not train')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change settings of the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says."""
    args = vars(parse_args(argv))
    dry_run, args['options'] = args.pop('dry_run'), args.pop('cfg_options')
    done = None if dry_run else load('apis.finished').find(args)
    if done:  # said without importing the package
        return print('Already done, with these videos and options:', done, sep='\n')
    try:
        fitted = run(args, dry_run)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print('\nStopped. The same command goes on from the last finished epoch.', file=sys.stderr)
        sys.exit(130)
    if fitted:
        print(fitted)


def run(args: dict, dry_run: bool) -> 'Fitted | None':
    """Prepare, say what will be done, and do it."""
    sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
    with redirect_stdout(sys.stderr):  # what is printed is for the user
        from mmstadapter.apis.fitted import fit
    return fit(dry_run=dry_run, **args)
