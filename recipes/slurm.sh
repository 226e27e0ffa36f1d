#!/bin/bash
# Trains on several nodes of a Slurm cluster, one process a node:
#
#     sbatch --nodes=2 recipes/slurm.sh --config=configs/digits/ddpm.py --workdir=/shared/runs/digits
#
# The processes find each other by Slurm's own variables. The workdir lies where all nodes see it. Two minutes
# before its time is over Slurm sends SIGTERM: the run saves a checkpoint and ends, is queued again, and goes on
# from there.

#SBATCH --job-name=diffjax
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

# One folder of compiled programs for all nodes, so that a restart compiles nothing.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$PWD/.jax_cache}"

stopped=0
srun --kill-on-bad-exit=1 python -m diffjax.train --distributed "$@" &
trap 'stopped=1; kill -TERM "$!"' TERM # srun hands it on to all processes

status=0
wait "$!" || status=$?
if ((stopped)); then
  wait "$!" || true # until the checkpoint is saved
fi
# A peer that was lost is status 1; 2 is a mistake, which a restart does not mend.
if ((stopped || (status != 0 && status != 2))); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
