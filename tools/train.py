"""`mmstadapter train`, by path: what mim, dist_train.sh and slurm_train.sh run."""

import sys

from mmstadapter_cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
