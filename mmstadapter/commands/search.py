"""Search indexed videos for what a sentence says.

    mmstadapter search "a dog jumps into water" [--json OUT] [--html OUT]

Prints the best segments: score, from, to, file. Make the index with `mmstadapter index`.
"""

import argparse
import json
import sys
from pathlib import Path

from mmstadapter_cli import parser_of

INDEX = 'work_dirs/index'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('search', __doc__)
    add = parser.add_argument
    add('words', nargs='+', help='the sentence')
    add('--index', default=INDEX, help=f'folder of the index [{INDEX}]')
    add('--topk', type=int, default=10, help='segments to show [10]')
    add('--json', metavar='OUT', help='write the hits to this file; - prints them')
    add('--html', metavar='OUT', help='write a page with frames of the hits to this file')
    add('--exact', action='store_true', help='compare with every segment, not with a shortlist')
    add('--candidates', type=int, default=200, help='length of the shortlist [200]')
    add('--checkpoint', help="the model's weights, if they were moved")
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='changes to the stored config')
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict:
    """Search as the command line says, and write the page."""
    from mmstadapter import VideoSearch
    from mmstadapter.launch import parse_options
    from mmstadapter.search.page import write_sheet

    query = ' '.join(args.words)
    options = parse_options(args.cfg_options or [])
    search = VideoSearch(args.index, args.checkpoint, args.device, options)
    unread = search.model.unread(query)
    if unread:
        print(f'note: the sentence is too long, its last {unread} pieces of words are not read')
    hits = search(query, args.topk, args.exact, args.candidates)
    root = search.index.root
    if args.html:
        write_sheet(args.html, query, hits, root, search.index.stamps)
    found = [dict(rank=n, **hit.asdict()) for n, hit in enumerate(hits, start=1)]
    return dict(query=query, index=str(args.index), root=str(root), hits=found)


def lines(found: dict) -> str:
    """A line a hit."""
    from mmstadapter.printing import in_columns, shown
    from mmstadapter.search.printing import clock

    rows = [
        [f'{hit["score"]:.3f}', clock(hit['start']), clock(hit['end']), shown(hit['video'])]
        for hit in found['hits']
    ]
    return in_columns(rows, 'rrrl')


def main(argv: list[str] | None = None) -> None:
    """Search, and print what was found."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs

        with logs.on_stderr():
            found = run(args)
        text = json.dumps(found, indent=1)
        if args.json not in (None, '-'):
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(text + '\n', encoding='utf-8')
    except KeyError as error:  # whose text is the message in quotes
        sys.exit(str(error.args[0]))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit('Stopped.')
    sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
    print(text if args.json == '-' else lines(found) or 'The index has no segments.')
