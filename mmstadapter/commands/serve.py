"""A web page on this machine that searches an index, and labels videos with an adapter.

    mmstadapter serve [INDEX] [--adapter FILE] [--port 7860]

Open the address it prints. No file outside of the indexed folder is shown. To be reached from
other machines (--host) it needs a --token, which the address then holds.
"""

import argparse
import re
import sys

from mmstadapter_cli import parser_of

INDEX, HOST, PORT = 'work_dirs/index', '127.0.0.1', 7860
HERE = ('127.0.0.1', 'localhost', '::1')
TOKEN = re.compile(r'[A-Za-z0-9._~-]{16,}')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('serve', __doc__)
    add = parser.add_argument
    add('index', nargs='?', default=INDEX, help=f'folder of the index [{INDEX}]')
    add('--adapter', help='adapter file that labels videos which are dropped on the page')
    add('--host', default=HOST, help=f'address to listen at [{HOST}: this machine alone]')
    add('--port', type=int, default=PORT, help=f'its port [{PORT}]')
    add('--token', help='what one must know to come in; needed for another host')
    add('--checkpoint', help="the index's model's weights, if they were moved")
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='changes to the stored config')
    add('--device', help='cpu, cuda:1 ... [the first GPU, else the CPU]')
    args = parser.parse_args(argv)
    if args.token is None and args.host not in HERE:
        import secrets

        parser.error(
            f'--host {args.host} lets other machines in, so say a --token that is not easily '
            f'guessed, for example --token {secrets.token_urlsafe(24)}'
        )
    if args.token is not None and not TOKEN.fullmatch(args.token):
        parser.error('--token needs 16 or more letters, digits or signs of . _ ~ -')
    return args


def application(args: argparse.Namespace):
    """The page as an ASGI application; reads the models."""
    from mmstadapter import VideoSearch
    from mmstadapter.launch import parse_options
    from mmstadapter.serving.labelling import Labeller
    from mmstadapter.serving.page import Page, application, gradio

    gradio()  # before models are read
    options = parse_options(args.cfg_options or [])
    search = VideoSearch(args.index, args.checkpoint, args.device, options).warm()
    labeller = Labeller(args.adapter, args.device) if args.adapter else None
    return application(Page(search, labeller), args.token)


def main(argv: list[str] | None = None) -> None:
    """Serve until it is stopped."""
    args = parse_args(argv)
    try:
        app = application(args)
    except KeyError as error:  # whose text is the message in quotes
        sys.exit(str(error.args[0]))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    import uvicorn

    host = f'[{args.host}]' if ':' in args.host else args.host
    print(
        f'http://{host}:{args.port}/' + (f'?token={args.token}' if args.token else ''), flush=True
    )
    uvicorn.run(app, host=args.host, port=args.port, log_level='warning', access_log=False)
