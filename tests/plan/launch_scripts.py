"""Launch scripts like those that courses hand out."""

_FRONTIER = """\
#!/bin/bash

#SBATCH -A ABC123
#SBATCH -J gpt
#SBATCH -o logs/gpt-%j.o
#SBATCH -t {minutes}
#SBATCH -p batch
#SBATCH -N {nodes}

set +x
module load rocm/5.4.0  # and what else it takes
scontrol show hostnames $SLURM_NODELIST > job.node.list
input="./job.node.list"
readarray -t arr <"$input"
first=${{arr[0]}}
ips=`ssh $first hostname -I`
read -ra arr <<< ${{ips}}
export MASTER_ADDR=${{arr[0]}}

per_node=8
gpus_per_rank=$((8/$per_node))
total=$(($per_node*$SLURM_JOB_NUM_NODES))
#total=$(($total*2))

export CHECKPOINT_PATH=checkpoints/gpt2_345m
export GPT_ARGS="--tensor-model-parallel-size {tensor} \\
          --pipeline-model-parallel-size {pipeline} \\
          --num-layers {layers} \\
          --hidden-size {hidden} \\
          --num-attention-heads {heads} \\
          --seq-length 2048 \\
  \t  --micro-batch-size {micro} \\
\t  --global-batch-size {batch} \\
          --train-samples 100000 \\
          --lr-decay-samples 10000 \\
          --lr 6.0e-5 \\
          --lr-decay-style cosine \\
          --save-interval 1000 \\
          --fp16"

time srun -u -n$total -c2 --ntasks-per-node=8 --gpus-per-node=8 --gpu-bind=closest bash -c "
source export_DDP_vars.sh
python pretrain_gpt_deepspeed.py \\
       $GPT_ARGS \\
       --save $CHECKPOINT_PATH \\
       --master-addr=$MASTER_ADDR \\
       --deepspeed \\
       --deepspeed_config {config} \\
       --checkpoint-activations
"
# python pretrain_gpt.py --tensor-model-parallel-size 2 --num-layers 12 --hidden-size 1584
"""


def oak_ridge(
    layers,
    hidden,
    heads,
    tensor,
    pipeline,
    batch,
    micro,
    nodes,
    minutes="00:20:00",
    config="ds.json",
) -> str:
    """A script of the kind that Oak Ridge's course has for Frontier."""
    return _FRONTIER.format(**locals())


GPT_22B = oak_ridge(48, 6144, 96, tensor=4, pipeline=8, batch=20, micro=2, nodes=4)
GPT_175B = oak_ridge(96, 12288, 96, tensor=8, pipeline=12, batch=12, micro=1, nodes=24)
GPT_1T = oak_ridge(128, 25600, 128, tensor=8, pipeline=64, batch=8, micro=1, nodes=64)

# Arrays, torchrun, defaults and a test, as in Megatron-LM's examples.
MEGATRON = """\
#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
#SBATCH --time=1-00:00:00

GPUS_PER_NODE=8
NUM_NODES=${NUM_NODES:-2}
WORLD_SIZE=$(($GPUS_PER_NODE*$NUM_NODES))
SIZE=${1:-"small"}
if [ "$SIZE" == "large" ]; then
    LAYERS=96
elif [[ $SIZE == small ]]; then
    LAYERS=32
else
    LAYERS=1
fi

DISTRIBUTED_ARGS=(
    --nproc_per_node $GPUS_PER_NODE
    --nnodes $NUM_NODES
    --master_port 6000
)
MODEL_ARGS=(
    --num-layers $LAYERS   # of 96
    --hidden-size 4096
    --num-attention-heads 32
    --seq-length 4096
)
MODEL_ARGS+=(--sequence-parallel --use-flash-attn)

torchrun ${DISTRIBUTED_ARGS[@]} pretrain_gpt.py \\
    "${MODEL_ARGS[@]}" \\
    --tensor-model-parallel-size=2 \\
    --pipeline-model-parallel-size=${PP:-4} \\
    --num-layers-per-virtual-pipeline-stage 4 \\
    --micro-batch-size 1 --global-batch-size 128 \\
    --recompute-granularity selective --train-iters 500000 --lr-decay-iters 500000 \\
    --save /checkpoints/$SIZE
"""

# DeepSpeed's JSON in a here-document, PBS, mpiexec.
DEEPSPEED = """\
#!/bin/bash
#PBS -l select=4:ngpus=4
#PBS -l walltime=02:00:00
#PBS -A project
NNODES=`wc -l < $PBS_NODEFILE`
NGPUS=$(( NNODES * 4 ))
MBS=2
ZERO=3
cat <<EOT > config.json
{
  "train_batch_size": $(( MBS * NGPUS * 4 )),
  "train_micro_batch_size_per_gpu": $MBS,
  "zero_optimization": {"stage": $ZERO},
  "bf16": {"enabled": true}
}
EOT
mpiexec -n $NGPUS --ppn 4 python pretrain_gpt.py --num-layers 24 --hidden-size 2048 \\
  --num-attention-heads 16 --seq-length 1024 --deepspeed --deepspeed_config=config.json \\
  --checkpoint-activations --save out --train-iters 100
"""

# Launchers in variables, in single quotes, and by eval.
BIG = """\
#!/bin/bash
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=1          # crucial - only 1 task per dist per node!
#SBATCH --gres=gpu:a100:8
#SBATCH --time 20:00:00
GPUS_PER_NODE=8
NNODES=$SLURM_NNODES
MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)
TP_SIZE=4; PP_SIZE=4
GPT_ARGS=" \\
    --num-layers 40 --hidden-size 5120 --num-attention-heads 40 \\
    --seq-length 2048 \\
    --micro-batch-size 2 --global-batch-size 512 \\
    --train-samples 1_000_000 --checkpoint-activations \\
    "
export LAUNCHER="python -u -m torch.distributed.run \\
    --nproc_per_node $GPUS_PER_NODE \\
    --nnodes $NNODES \\
    --rdzv_endpoint $MASTER_ADDR:6000 --max_restarts 0 \\
    "
export CMD=" \\
    `pwd`/pretrain_gpt.py \\
    --tensor-model-parallel-size $TP_SIZE --pipeline-model-parallel-size $PP_SIZE \\
    $GPT_ARGS --save /scratch/13b \\
    "
%s
"""
BY_SRUN = BIG % "srun bash -c '$LAUNCHER --node_rank $SLURM_PROCID $CMD' 2>&1 | tee -a log.txt"
BY_EVAL = BIG % 'run="$LAUNCHER $CMD"\necho ${run}\neval ${run}'
