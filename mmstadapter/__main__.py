"""``python -m mmstadapter COMMAND``: the console command, also from a clone not installed."""

import sys

from mmstadapter_cli import main

if __name__ == '__main__':
    sys.exit(main())
