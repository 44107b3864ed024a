"""`mmstadapter convert`, by path."""

import sys

from mmstadapter_cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', *sys.argv[1:]]))
