#!/usr/bin/env bash
# Test a checkpoint with several processes, one a GPU; on CPUs where there is no GPU.
#
#     bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
#
# On several machines, run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
run_on "$3" test.py "$1" "$2" --launcher pytorch "${@:4}"
