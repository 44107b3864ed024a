"""Search indexed videos for what a sentence says, or for the like of a picture or video.

    mmstadapter search "a dog jumps into water" [--minus SENTENCE] [--like FILE[@12.5-15]] ...

Prints the best segments: score, from, to, file. Make the index with `mmstadapter index`.
"""

import argparse
import csv
import gc
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from mmstadapter_cli import parser_of

INDEX = 'work_dirs/index'
COLUMNS = ('query', 'rank', 'score', 'start', 'end', 'video')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('search', __doc__)
    add = parser.add_argument
    add('words', nargs='*', help='the sentence')
    add(
        '--like',
        action='append',
        default=[],
        metavar='FILE[@FROM-TO]',
        help='find the like of a picture or video, or of a part of it in seconds; may be repeated',
    )
    add(
        '--minus',
        action='append',
        default=[],
        metavar='SENTENCE',
        help='what is found is not to be like this; may be repeated',
    )
    add('--queries', metavar='FILE', help='a query a line: a sentence, or {"words": "...", '
        '"like": [...], "minus": [...]}')  # fmt: skip
    add('--index', default=INDEX, help=f'folder of the index [{INDEX}]')
    add('--topk', type=int, default=10, help='hits to show, for each query [10]')
    add('--by-video', action='store_true', help='the best segment of each video alone')
    add('--dedupe', action='store_true', help='segments of a video that touch are one hit')
    add('--min-score', type=float, metavar='SCORE', help='no hit below it')
    add('--json', metavar='OUT', help='write the hits to this file; - prints them')
    add('--csv', metavar='OUT', help='the same as a table')
    add('--html', metavar='OUT', help='write a page with frames of the hits to this file')
    add('--exact', action='store_true', help='compare with every segment, not with a shortlist')
    add('--candidates', type=int, default=200, help='length of the shortlist [200]')
    add('--checkpoint', help="the model's weights, if they were moved")
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='changes to the stored config')
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    args = parser.parse_args(argv)
    if args.queries and (args.words or args.like or args.minus):
        parser.error('--queries FILE says all that is looked for; leave the other queries out')
    if '-' in (args.json, args.csv) and args.json == args.csv:
        parser.error('--json - and --csv - cannot both be printed')
    return args


def run(args: argparse.Namespace) -> dict:
    """Search as the command line says, and write the page."""
    with not_collecting():
        from mmstadapter import VideoSearch
        from mmstadapter.launch import parse_options
        from mmstadapter.search.page import write_sheet

    queries = queries_of(args)
    options = parse_options(args.cfg_options or [])
    needs_videos = any(query.like for query in queries)
    is_small = len(queries) == 1 and not (needs_videos or args.exact)
    with one_thread() if is_small else nullcontext():
        search = VideoSearch(args.index, args.checkpoint, args.device, options, needs_videos)
        for caption in dict.fromkeys(c for query in queries for c in query.captions):
            if unread := search.model.unread(caption):
                print(f'note: the sentence is too long, its last {unread} pieces of words are not '
                      'read')  # fmt: skip
        chosen = (args.by_video, args.min_score, args.dedupe)
        hits = search.many(queries, args.topk, args.exact, args.candidates, *chosen)
    root = search.index.root
    if args.html:
        pairs = list(zip(map(str, queries), hits, strict=True))
        write_sheet(args.html, pairs, root, search.index.stamps)
    found = [
        dict(query=query.words, **_beside(query), hits=[
            dict(rank=n, **hit.asdict()) for n, hit in enumerate(own, start=1)])
        for query, own in zip(queries, hits, strict=True)
    ]  # fmt: skip
    about = dict(index=str(args.index), root=str(root))
    return about | (dict(queries=found) if args.queries else found[0])


@contextmanager
def not_collecting() -> Iterator[None]:
    """Within it, nobody looks for garbage, nor ever again through what was imported there."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, PyTorch works in this thread alone.

    A sentence and the weights it needs gain next to nothing from more, which wait for each other
    most of the time where other processes are busy; a digest has its own thread anyhow.
    """
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _beside(query) -> dict:
    return {name: value for name, value in query.asdict().items() if name != 'words'}


def queries_of(args: argparse.Namespace) -> list:
    """What the command line or the file asks for.

    Raises:
        ValueError: if that is nothing, or a line is no query, with its number.
    """
    from mmstadapter.datasets.files import read_lines
    from mmstadapter.search.asking import Query

    if not args.queries:
        return [Query(' '.join(args.words), tuple(args.like), tuple(args.minus))]
    queries = []
    for number, line in enumerate(read_lines(args.queries), start=1):
        try:
            if line.strip():
                queries.append(Query.of(json.loads(line) if line.lstrip()[0] == '{' else line))
        except ValueError as error:
            raise ValueError(f'{args.queries}, line {number}: {error}') from error
    if not queries:
        raise ValueError(f'{args.queries} holds no query. Write one a line.')
    return queries


def asked(found: dict) -> list[dict]:
    """Each query with its hits."""
    return found.get('queries') or [found]


def title(query: dict) -> str:
    """A query in a line."""
    more = [f'{sign} {x}' for sign in ('like', 'minus') for x in query.get(sign, [])]
    return ' '.join(filter(None, [query['query'], *more]))


def lines(found: dict, least: float | None = None) -> str:
    """A line a hit; of several queries each below its own. ``least`` is the score asked for."""
    from mmstadapter.printing import shown

    nothing = 'The index has no segments.'
    if least is not None:
        nothing = f'No segment has a score of {least:g} or more.'
    parts = []
    for query in asked(found):
        table = _table(query['hits']) or nothing
        parts.append(f'{shown(title(query))}\n{table}' if 'queries' in found else table)
    return '\n\n'.join(parts)


def _table(hits: list[dict]) -> str:
    from mmstadapter.printing import in_columns, shown
    from mmstadapter.search.printing import clock

    rows = [
        [f'{hit["score"]:.3f}', clock(hit['start']), clock(hit['end']), shown(hit['video'])]
        for hit in hits
    ]
    return in_columns(rows, 'rrrl')


def as_csv(found: dict) -> str:
    """A row a hit under a row of names; names of files as they are."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    table.writeheader()
    for query in asked(found):
        table.writerows(dict(query=title(query), **hit) for hit in query['hits'])
    return text.getvalue()


def write(out: str | None, text: str) -> None:
    """Put the text into a file, whole or not at all, where one is asked for."""
    from mmstadapter.weights.saving import written_whole

    if out not in (None, '-'):
        with written_whole(Path(out)) as part:
            part.write_text(text, encoding='utf-8', errors='surrogateescape', newline='')


def main(argv: list[str] | None = None) -> None:
    """Search, and print what was found."""
    args = parse_args(argv)
    try:
        from mmstadapter import logs

        with logs.on_stderr():
            found = run(args)
        as_json = json.dumps(found, indent=1)
        write(args.json, f'{as_json}\n')
        write(args.csv, as_csv(found))
    except KeyError as error:  # whose text is the message in quotes
        sys.exit(str(error.args[0]))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit('Stopped.')
    sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
    if args.csv == '-':
        print(as_csv(found), end='')
    else:
        print(as_json if args.json == '-' else lines(found, args.min_score))
