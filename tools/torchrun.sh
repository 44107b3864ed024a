# Sourced by dist_*.sh and slurm_*.sh: how they start processes with torchrun.

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PYTHON:-python}
# In a clone, its package is taken, installed or not.
if [ -f "$TOOLS/../mmstadapter/__init__.py" ]; then
    export PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}"
fi

# run_on PROCESSES TOOL [ARGUMENTS]: one machine on a free port, or one of NNODES machines.
run_on() {
    local processes=$1 tool=$2
    shift 2
    local where=(--standalone)
    if [ "${NNODES:-1}" -gt 1 ] || [ -n "${PORT:-}" ]; then
        where=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
            --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
    fi
    exec "$PYTHON" -m torch.distributed.run "${where[@]}" --nproc_per_node "$processes" \
        "$TOOLS/$tool" "$@"
}

# slurm_on PARTITION JOB_NAME TOOL [ARGUMENTS]: one task a machine, torchrun within it.
slurm_on() {
    local partition=$1 job=$2
    shift 2
    local gpus=${GPUS:-8} each=${GPUS_PER_NODE:-8}
    if [ "$each" -gt "$gpus" ]; then each=$gpus; fi
    # SRUN_ARGS is a list of words on purpose.
    # shellcheck disable=SC2086
    exec srun -p "$partition" --job-name="$job" --nodes=$(((gpus + each - 1) / each)) \
        --ntasks-per-node=1 --gres=gpu:"$each" --cpus-per-task=$((${CPUS_PER_TASK:-5} * each)) \
        --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        bash "$TOOLS/torchrun.sh" "$each" "$@"
}

# Within srun: every machine meets at the first of the job's machines.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    export NNODES=${SLURM_NNODES:-1} NODE_RANK=${SLURM_NODEID:-0}
    export PORT=${PORT:-$((20000 + ${SLURM_JOB_ID:-0} % 20000))}
    hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    export MASTER_ADDR=${hosts%%$'\n'*}
    run_on "$@"
fi
