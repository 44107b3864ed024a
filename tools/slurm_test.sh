#!/usr/bin/env bash
# Test a checkpoint on a Slurm cluster.
#
#     GPUS=8 bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
#
# GPUS (8) in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5 a GPU), SRUN_ARGS from the environment.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
slurm_on "$1" "$2" test.py "$3" "$4" --launcher pytorch "${@:5}"
