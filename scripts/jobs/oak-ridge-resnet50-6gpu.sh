#!/bin/bash
#BSUB -J oak-ridge-resnet50-6gpu
#BSUB -nnodes 1
#BSUB -W 02:00
#BSUB -P PROJECT
#BSUB -alloc_flags smt1
#BSUB -o logs/oak-ridge-resnet50-6gpu-%J.out
#BSUB -e logs/oak-ridge-resnet50-6gpu-%J.err
#BSUB -wa USR1
#BSUB -wt 5
#BSUB -Q 99
#
# 1 node × 6 GPUs on Ascent (Oak Ridge), made by `tfsci job`.
# Submit it from the folder that holds scripts/, where logs/ has to be there first:
#   mkdir -p logs && bsub < scripts/jobs/oak-ridge-resnet50-6gpu.sh
# Facts of the machine: https://docs.olcf.ornl.gov/systems/ascent_user_guide.html
# Ascent (Oak Ridge): switched off on 15 November 2024; kept as the model of LSF with jsrun.

# What has to be set up before python runs; fill in, and take the # away:
# module load cuda
# source .venv/bin/activate

output=runs/oak-ridge-resnet50-6gpu
resume=
if [ -e "$output/config.json" ]; then resume=--resume; fi
saved() { ls "$output/checkpoints" 2> /dev/null; }
before=$(saved)
trap : USR1  # the warning before the limit is for python; this shell lives on

# 6 resource sets: each one rank, its GPU and its cores.
jsrun -n 6 -r 6 -a 1 -c 7 -g 1 -b packed:7 -d packed --smpiargs=-disable_gpu_hooks \
    python scripts/train_resnet.py --variant 50 --data diffraction --strategy horovod --batch-size \
        384 --scale-lr linear --warmup-epochs 5 --output "$output" $resume
code=$?

# Finished, or failed. 138 is a python that the warning ended; 0 without metrics.json, one it cut.
if [ "$code" -ne 0 ] && [ "$code" -ne 138 ]; then exit "$code"; fi
if [ "$code" -eq 0 ] && [ -e "$output/metrics.json" ]; then exit 0; fi
if [ "$(saved)" = "$before" ]; then
    echo "cut short before anything new was saved: ask for more --time; not queued again" >&2
    exit 1
fi
echo "cut short; queued again, to go on with --resume"
exit 99  # which -Q above turns into a place in the queue, under the same job number
