#!/usr/bin/env bash
# Train on a Slurm cluster.
#
#     GPUS=16 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
#
# GPUS (8) in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5 a GPU), SRUN_ARGS from the environment.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
slurm_on "$1" "$2" train.py "$3" --launcher pytorch "${@:4}"
