"""The console command under the name that it had: ``from mmstadapter.cli import main``."""

import sys

from mmstadapter_cli import main as run


def main() -> None:
    """Run the command that the command line names, and exit with its status."""
    sys.exit(run())


if __name__ == '__main__':
    main()
