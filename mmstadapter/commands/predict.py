"""Predict videos with an adapter file.

    mmstadapter predict ADAPTER.safetensors VIDEO [VIDEO|FOLDER ...] [--out OUT.csv|.jsonl|.json]

Prints the best labels of each video with their scores. Videos are decoded in threads while the
model works on the ones before, batches go across them. Where the best score is below that which
the adapter was calibrated to on its validation set, a video is "none of these". A video that
cannot be decoded is reported in its place; the exit status is 1 if none could be. A video much
longer than a clip gets a note: `mmstadapter timeline` labels it over time.
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
    add(
        '--out',
        type=Path,
        action='append',
        default=[],
        help='write all results to this file, by its suffix as .csv, .jsonl or .json; may be '
        'given several times',
    )
    add('--topk', type=int, default=5, help='labels a video [5]')
    add('--batch-size', type=int, default=4, help='videos at a time [4]')
    add(
        '--none-below',
        type=float,
        metavar='SCORE',
        help='best scores below this are "none of these" [as calibrated; 0: never]',
    )
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    args = parser.parse_args(argv)
    for path in args.out:
        if path.suffix not in ('.csv', '.jsonl', '.json'):
            parser.error(f'--out writes .csv, .jsonl or .json, got {path}')
    return args


def describe(entry: dict) -> str:
    """One line a video; nothing that names or labels hold reaches the terminal as a command."""
    from mmstadapter.printing import shown

    if 'error' in entry:
        return f'{shown(entry["video"])}: {shown(entry["error"])}'
    best = ', '.join(
        f'{shown(label)} {score:.3f}'
        for label, score in zip(entry['labels'], entry['scores'], strict=True)
    )
    if entry['label'] != entry['labels'][0]:
        best = f'{entry["label"]} ({best})'
    note = f' ({entry["note"]})' if 'note' in entry else ''
    return f'{shown(entry["video"])}: {best}{note}'


def main(argv: list[str] | None = None) -> None:
    """Predict as the command line says."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs

        with logs.on_stderr():
            from mmstadapter import Predictor
            from mmstadapter.apis.tables import write_predictions

            predictor = Predictor(
                args.adapter, args.checkpoint, args.device, args.batch_size, args.none_below
            )
            found = predictor(args.videos, args.topk)
        sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
        text = json.dumps(found, indent=1)
        print(text if args.json == '-' else '\n'.join(map(describe, found)))
        for path in args.out:
            write_predictions(found, path)
        if args.json not in (None, '-'):
            write_predictions(found, Path(args.json), '.json')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    sys.exit(all('error' in entry for entry in found))
