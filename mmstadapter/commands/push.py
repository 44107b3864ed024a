"""Share a trained model by name: adapter file, config and a card with all that is known of it.

    mmstadapter push ADAPTER OWNER/NAME [--license apache-2.0] [--data 'OUR VIDEOS']
    mmstadapter push ADAPTER --folder DIR      # write the folder alone, edit its README.md, then
    mmstadapter push DIR OWNER/NAME            # send it as it is

ADAPTER is a file that `mmstadapter fit` or `mmstadapter publish` wrote, or its folder, whose
figures go into the card. Everybody has the model then by its name:

    mmstadapter predict hf:OWNER/NAME VIDEO
    mmstadapter.from_pretrained('hf:OWNER/NAME')         # in Python

Nothing that is sent is executable. Tokens are huggingface_hub's: `hf auth login`, or HF_TOKEN.
"""

import argparse
from pathlib import Path
from typing import Any

from mmstadapter_cli import parser_of


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('push', __doc__)
    add = parser.add_argument
    add('adapter', help='an adapter file, its folder, or a folder that this command wrote')
    add('name', nargs='?', metavar='OWNER/NAME', help='the repository at Hugging Face')
    add('--folder', type=Path, metavar='DIR', help='write the model there, and send it if named')
    add('--force', action='store_true', help='replace a model that DIR holds')
    add('--license', metavar='ID', help="the adapter's, as the hub calls it [to be filled in]")
    add('--data', metavar='TEXT', help='what it was trained and tested on [to be filled in]')
    add('--results', metavar='FILE', help='figures of a test as JSON [those of the fit]')
    add('--labels', type=Path, metavar='FILE', help='names of the classes, one a line')
    add('--trunk', metavar='NAME', help='what others read the pretrained weights from')
    add('--include-trunk', action='store_true', help='put the pretrained weights in as well')
    add('--checkpoint', help="the trunk's pretrained file, if it has moved")
    add('--private', action='store_true', default=None, help='a new repository is not public')
    add('--revision', metavar='BRANCH', help='commit to this branch')
    add('--message', metavar='TEXT', help='of the commit')
    args = parser.parse_args(argv)
    if args.name is None and args.folder is None:
        parser.error('give OWNER/NAME to send it, or --folder DIR to write it')
    return args


def main(argv: list[str] | None = None) -> None:
    """Write and send as the command line says."""
    args = parse_args(argv)
    from mmstadapter import logs, push_to_hub, save_pretrained
    from mmstadapter.datasets.files import read_lines
    from mmstadapter.printing import printable
    from mmstadapter.sharing.card import TO_FILL
    from mmstadapter.sharing.folder import CARD
    from mmstadapter.sharing.pushing import repository

    keys = ('license', 'data', 'results', 'trunk', 'include_trunk', 'checkpoint')
    card: dict[str, Any] = {key: value for key in keys if (value := getattr(args, key))}
    model: Any = args.adapter
    try:
        name = None if args.name is None else repository(args.name)
        if args.labels is not None:
            card['labels'] = read_lines(args.labels)
        if args.folder is not None:
            with logs.on_stderr():
                model = save_pretrained(model, args.folder, name=name, force=args.force, **card)
            card = {}
            for file in sorted(model.iterdir()):
                print(printable(f'{file}: {file.stat().st_size:,} bytes'))
            if TO_FILL in (model / CARD).read_text(encoding='utf-8'):
                print(printable(f'{model / CARD}: fill in what stands as {TO_FILL}'))
        if name is not None:
            send = dict(private=args.private, revision=args.revision, message=args.message)
            with logs.on_stderr():
                address = push_to_hub(model, name, **send, **card)
            print(printable(address))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise SystemExit(printable(str(error))) from error
