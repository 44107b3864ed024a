"""`mmstadapter retrieval-metrics`, by path."""

import sys

from mmstadapter_cli import main

if __name__ == '__main__':
    sys.exit(main(['retrieval-metrics', *sys.argv[1:]]))
