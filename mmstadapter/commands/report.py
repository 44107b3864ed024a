"""Print parameters and operations of the recipes beside the papers' figures.

    mmstadapter report                          # the tables
    mmstadapter report --write docs/model_zoo.md

Nothing is fetched and nothing is computed: models are built without storage (PyTorch's meta
device) and one clip is sent through for its operations to be counted.
"""

from pathlib import Path

from mmstadapter_cli import parser_of


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = parser_of('report', __doc__)
    parser.add_argument('--write', type=Path, metavar='FILE', help='write this Markdown page')
    args = parser.parse_args(argv)
    from mmstadapter.analysis.model_zoo import page

    if args.write is None:
        print(page(), end='')
    else:
        args.write.write_text(page(), encoding='utf-8')
        print(f'written to {args.write}')
