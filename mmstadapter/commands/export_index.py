"""Write an index's vectors as NumPy arrays or a Parquet table, to fill a vector database with.

    mmstadapter export-index INDEX --out FOLDER_OR_FILE [--to parquet]

A row is a segment: video, from, to, vector. docs/vector_databases.md shows what to do with it.
"""

import argparse
import sys

from mmstadapter_cli import parser_of

INDEX = 'work_dirs/index'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = parser_of('export-index', __doc__)
    add = parser.add_argument
    add('index', nargs='?', default=INDEX, help=f'folder of the index [{INDEX}]')
    add('--to', choices=('npy', 'parquet'), default='npy',
        help='a folder of arrays, or one table (needs pyarrow) [npy]')  # fmt: skip
    add('--out', required=True, help='the folder, or the file')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write, and say how much."""
    args = parse_args(argv)
    try:
        from mmstadapter.search.exporting import export_index

        count = export_index(args.index, args.out, args.to)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit('Stopped.')
    print(f'{args.out}: {count} segments')
