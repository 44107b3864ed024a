"""`mmstadapter predict`, by path."""

import sys

from mmstadapter_cli import main

if __name__ == '__main__':
    sys.exit(main(['predict', *sys.argv[1:]]))
