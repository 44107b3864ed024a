"""`mmstadapter test`, by path: what mim, dist_test.sh and slurm_test.sh run."""

import sys

from mmstadapter_cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
