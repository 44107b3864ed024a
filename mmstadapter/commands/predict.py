"""Predict videos with an adapter file.

    mmstadapter predict ADAPTER.safetensors VIDEO [VIDEO|FOLDER ...] [--json OUT]

Prints the best labels of each video with their scores. A video that cannot be decoded is
reported in its place; the exit status is 1 if none could be.
"""

import argparse
import json
import sys
from pathlib import Path

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('predict', __doc__)
    add = parser.add_argument
    add('adapter', help='a file that `mmstadapter fit` or `mmstadapter publish` wrote')
    add('videos', nargs='+', help='files, or folders of them')
    add('--checkpoint', help="the trunk's pretrained file [the one named in the adapter file]")
    add('--json', metavar='OUT', help='write all results to this file; - prints them')
    add('--topk', type=int, default=5, help='labels a video [5]')
    add('--batch-size', type=int, default=4, help='videos at a time [4]')
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    return parser.parse_args(argv)


def describe(entry: dict) -> str:
    """One line a video; nothing that names or labels hold reaches the terminal as a command."""
    from mmstadapter.printing import shown

    if 'error' in entry:
        return f'{shown(entry["video"])}: {shown(entry["error"])}'
    best = ', '.join(
        f'{shown(label)} {score:.3f}'
        for label, score in zip(entry['labels'], entry['scores'], strict=True)
    )
    return f'{shown(entry["video"])}: {best}'


def main(argv: list[str] | None = None) -> None:
    """Predict as the command line says."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs

        with logs.on_stderr():
            from mmstadapter import Predictor

            predictor = Predictor(args.adapter, args.checkpoint, args.device, args.batch_size)
            found = predictor(args.videos, args.topk)
        text = json.dumps(found, indent=1)
        sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
        print(text if args.json == '-' else '\n'.join(map(describe, found)))
        if args.json not in (None, '-'):
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(text + '\n', encoding='utf-8')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    sys.exit(all('error' in entry for entry in found))
