#!/usr/bin/env bash
#SBATCH --job-name=prognobench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#
# A Ray cluster inside a SLURM job, and a benchmark on it: sbatch slurm.sh SPEC.yaml OUTPUT
# Submit it again after a time limit: what is done stays done. Output, cohort and
# PROGNOBENCH_CACHE must lie where the first node sees them; weights where every node does.
set -euo pipefail
spec=$1
output=$2
# Jobs that share a node do not share a port.
port=$((20000 + SLURM_JOB_ID % 10000))

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$head:$port"
resources=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")
export RAY_USAGE_STATS_ENABLED=0
# Only this job may use the cluster: each step inherits its token (Ray before 2.52 knows of none).
RAY_AUTH_TOKEN=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --port="$port" "${resources[@]}" --include-dashboard=false --block &
first=$!
until ray status --address="$address" >/dev/null 2>&1; do
    kill -0 "$first" # ends the job where Ray has ended
    sleep 1
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --address="$address" "${resources[@]}" --block &
fi

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    prognobench run "$spec" --output "$output" --executor ray --ray-address "$address"
