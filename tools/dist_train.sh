#!/usr/bin/env bash
# Train with several processes, one a GPU; on CPUs where there is no GPU.
#
#     bash tools/dist_train.sh CONFIG PROCESSES [options of train.py]
#
# On several machines, run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
run_on "$2" train.py "$1" --launcher pytorch "${@:3}"
