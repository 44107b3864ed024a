"""Write the lists of a public data set from its official files, or make the demonstration's data.

    mmstadapter prepare msrvtt [--root data/msrvtt] [--allow-missing]
    mmstadapter prepare msrvtt --help       # which files have to lie where
    mmstadapter prepare moving_digits       # makes everything itself

Videos that a list names and that are not there end it with their names.
"""

import argparse
from importlib import import_module
from pathlib import Path

from mmstadapter_cli import load, parser_of

LABELLED = {
    'kinetics400': 'Kinetics-400',
    'sthv1': 'Something-Something V1',
    'sthv2': 'Something-Something V2',
    'ucf101': 'UCF101, three splits',
    'hmdb51': 'HMDB51, three splits',
}
CAPTIONED = {'msrvtt': 'MSR-VTT', 'msvd': 'MSVD', 'vatex': 'VATEX', 'didemo': 'DiDeMo'}
MADE = {
    'moving_digits': 'the clips of the demonstration and their lists, in 15 seconds',
    'blinking_digits': 'a harder task for it: how often does a digit appear',
    'tiny_clip': 'their image model, trained in two or three minutes',
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line: a sub-command a data set, whose help shows its page."""
    parser = parser_of('prepare', __doc__)
    names = parser.add_subparsers(dest='name', metavar='DATASET', required=True)
    for name, title in (LABELLED | CAPTIONED | MADE).items():
        add = names.add_parser(
            name,
            help=title,
            description=page(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        ).add_argument
        if name == 'tiny_clip':
            add('--out', type=Path, default=Path('data/moving_digits/clip_tiny.safetensors'))
            add('--steps', type=int, default=1000, help='of training [1000]')
            add('--batch-size', type=int, default=64, help='stills a step [64]')
            add('--seed', type=int, default=0, help='another start of chance [0]')
            add('--tower', choices=('clip', 'timm'), default='clip', help='image tower [clip]')
            continue
        add('--root', type=Path, default=Path('data') / name, help=f'its folder [data/{name}]')
        if name in ('moving_digits', 'blinking_digits'):
            add('--size', choices=('full', 'small'), default='full', help='[full]')
            add('--seed', type=int, default=0, help='another seed films other scenes [0]')
            continue
        missing = 'write the lists with the videos that are there, though some are missing'
        add('--allow-missing', action='store_true', help=missing)
        if name in CAPTIONED:
            frames = 'take folders of images below frames/ instead of files below videos/'
            add('--frames', action='store_true', help=frames)
        if name == 'kinetics400':
            folders = 'all videos there are, classes by folder, without csv files'
            add('--from-folders', action='store_true', help=folders)
    return parser.parse_args(argv)


def page(name: str) -> str:
    """What the package says about a data set: which files have to lie where, what is written."""
    folder = 'moving_digits' if name in MADE else name
    path = load('shipped').root() / 'tools' / 'data' / folder / 'README.md'
    return path.read_text(encoding='utf-8')


def main(argv: list[str] | None = None) -> None:
    """Prepare as the command line says."""
    options = vars(parse_args(argv))
    import_module(f'mmstadapter.preparation.{options.pop("name")}').prepare(**options)
