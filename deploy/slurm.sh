#!/usr/bin/env bash
# `sbatch deploy/slurm.sh --space tcl --out /shared/runs --name first …`: a study on the nodes of one SLURM job, one Ray node on
# each. What follows the script's name are the options of `ablation run`, --out and --name among them. Submit it in the project's
# folder, on a file system that the nodes share. The same line again goes on with the study.
#SBATCH --job-name=ablation
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=08:00:00
# Two minutes before its time is up the study is told: it ends in order, and the job is queued again to go on with it.
# A TERM, as from scancel, ends the study in order, too, and the job with it; so does a study's own --max-hours.
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

out=runs name=""
arguments=("$@")
while (($#)); do
    case $1 in
        --out) out=${2-} ;;
        --out=*) out=${1#*=} ;;
        --name) name=${2-} ;;
        --name=*) name=${1#*=} ;;
    esac
    shift
done
if [[ -z $name ]]; then
    echo "--name is missing: a job that goes on has to know its study; give one, such as --name first" >&2
    exit 2
fi

python=.venv/bin
export OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0
# Ray runs any code that it is sent, and other users reach these nodes: with a token of this job's own, only this job's.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$PWD/.ray-token-$SLURM_JOB_ID
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_address=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname -I | awk '{print $1}')
# Two jobs may share a node: each has a port of its own.
port=$((20000 + SLURM_JOB_ID % 20000))
share=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}")
# srun does not take it over from sbatch.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

started=()
# shellcheck disable=SC2317  # called by the trap
end() {
    kill "${started[@]}" 2> /dev/null || true
    wait "${started[@]}" 2> /dev/null || true
    rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap end EXIT

study="" signals=0 told="" is_time_up=""
# shellcheck disable=SC2317  # called by the traps
tell() {
    if [[ -n $study && -z $told ]]; then
        told=1
        kill -TERM "$study" 2> /dev/null || true
    fi
}
trap 'signals=$((signals + 1)) is_time_up=1; tell' USR1
trap 'signals=$((signals + 1)); tell' TERM

srun --overlap --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" "$python/ray" start --block --head \
    --node-ip-address="$head_address" --port="$port" --include-dashboard=false "${share[@]}" &
started+=($!)
for node in "${nodes[@]:1}"; do
    # A worker that comes before the head tries again until it is there.
    # shellcheck disable=SC2016  # expanded there
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" bash -c \
        'until "$0" start --block --address="$1" "$2"; do sleep 5; done' \
        "$python/ray" "$head_address:$port" "${share[0]}" &
    started+=($!)
done
until "$python/ray" status --address "$head_address:$port" > /dev/null 2>&1; do
    kill -0 "${started[0]}" || exit 1
    sleep 1
done

if "$python/ablation" status "$out/$name" > /dev/null 2>&1; then
    "$python/ablation" resume "$out/$name" --address "$head_address:$port" &
else
    "$python/ablation" run "${arguments[@]}" --address "$head_address:$port" &
fi
study=$!
# A signal may have come before there was a study to tell.
((signals == 0)) || tell
# A signal ends a wait, whose code is then the signal's and not the study's.
until
    before=$signals code=0
    wait "$study" || code=$?
    ((signals == before))
do :; done
# 143: it was told before it could answer.
if [[ -n $is_time_up && ($code == 130 || $code == 143) ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
