#!/bin/bash
#SBATCH -J oak-ridge-gpt-2x8
#SBATCH -N 2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=7
#SBATCH --gpus-per-node=8
#SBATCH -t 02:00:00
#SBATCH -A PROJECT
#SBATCH -o logs/%x-%j.out
#SBATCH --open-mode=append
#SBATCH --signal=USR1@300
#SBATCH --requeue
#
# 2 nodes × 8 GPUs on Frontier (Oak Ridge), made by `tfsci job`.
# Submit it from the folder that holds scripts/, where logs/ has to be there first:
#   mkdir -p logs && sbatch scripts/jobs/oak-ridge-gpt-2x8.sh
# Facts of the machine: https://docs.olcf.ornl.gov/systems/frontier_user_guide.html

# What has to be set up before python runs; fill in, and take the # away:
# module load PrgEnv-gnu rocm
# source .venv/bin/activate

output=runs/oak-ridge-gpt-2x8
resume=
if [ -e "$output/config.json" ]; then resume=--resume; fi
saved() { ls "$output/checkpoints" 2> /dev/null; }
before=$(saved)
trap : USR1  # the warning before the limit is for python; this shell lives on

srun --ntasks=16 --ntasks-per-node=8 --cpus-per-task=7 --cpu-bind=cores --gpus-per-task=1 \
        --gpu-bind=closest --kill-on-bad-exit=1 \
    python scripts/train_gpt.py --variant 11m --data sequences:samples=100000 --strategy horovod \
        --batch-size 64 --accumulate 8 --precision mixed_bfloat16 --warmup-epochs 1 \
        --output "$output" $resume
code=$?

# Finished, or failed. 138 is a python that the warning ended; 0 without metrics.json, one it cut.
if [ "$code" -ne 0 ] && [ "$code" -ne 138 ]; then exit "$code"; fi
if [ "$code" -eq 0 ] && [ -e "$output/metrics.json" ]; then exit 0; fi
if [ "$(saved)" = "$before" ]; then
    echo "cut short before anything new was saved: ask for more --time; not queued again" >&2
    exit 1
fi
echo "cut short; queued again, to go on with --resume"
scontrol requeue "$SLURM_JOB_ID"
