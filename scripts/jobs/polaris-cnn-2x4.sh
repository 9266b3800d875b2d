#!/bin/bash
#PBS -N polaris-cnn-2x4
#PBS -l select=2:system=polaris
#PBS -l walltime=01:00:00
#PBS -A PROJECT
#PBS -q debug
#PBS -l place=scatter
#PBS -l filesystems=home:eagle
#PBS -k doe
#PBS -j oe
#PBS -o logs/
#PBS -r y
#
# 2 nodes × 4 GPUs on Polaris (Argonne), made by `tfsci job`.
# Submit it from the folder that holds scripts/, where logs/ has to be there first:
#   mkdir -p logs && qsub scripts/jobs/polaris-cnn-2x4.sh
# Facts of the machine: https://docs.alcf.anl.gov/polaris/running-jobs/using-gpus/

# What has to be set up before python runs; fill in, and take the # away:
# module use /soft/modulefiles
# module load conda; conda activate base
# source .venv/bin/activate

cd "$PBS_O_WORKDIR" || exit
# All ranks are to read the node list, which PBS leaves on the first node alone.
cp "$PBS_NODEFILE" "logs/$PBS_JOBID.nodes" || exit
export PBS_NODEFILE="$PWD/logs/$PBS_JOBID.nodes"

output=runs/polaris-cnn-2x4
resume=
if [ -e "$output/config.json" ]; then resume=--resume; fi
saved() { ls "$output/checkpoints" 2> /dev/null; }
before=$(saved)
trap : USR1  # the warning before the limit is for python; this shell lives on

# One GPU per rank, counted down: the last is nearest to the first cores.
# PBS warns nobody before the limit: timeout tells each rank.
mpiexec -n 8 --ppn 4 --depth=8 --cpu-bind depth \
    bash -c 'export CUDA_VISIBLE_DEVICES=$((3 - PMI_LOCAL_RANK)); exec "$@"' gpu \
    timeout --foreground --preserve-status --signal=USR1 $((3300 - SECONDS)) \
    python scripts/train_cnn.py --strategy horovod --batch-size 384 --scale-lr linear \
        --warmup-epochs 3 --output "$output" $resume
code=$?

# Finished, or failed. 138 is a python that the warning ended; 0 without metrics.json, one it cut.
if [ "$code" -ne 0 ] && [ "$code" -ne 138 ]; then exit "$code"; fi
if [ "$code" -eq 0 ] && [ -e "$output/metrics.json" ]; then exit 0; fi
if [ "$(saved)" = "$before" ]; then
    echo "cut short before anything new was saved: ask for more --time; not queued again" >&2
    exit 1
fi
echo "cut short; queued again, to go on with --resume"
qsub scripts/jobs/polaris-cnn-2x4.sh  # this file, from where it was submitted
