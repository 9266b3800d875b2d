"""The job scripts in ``scripts/jobs/``, and the calls of `tfsci job` that make them.

After a change: ``python -c "from tfsci.job import examples; examples.write('scripts/jobs')"``.
"""

import shlex
from pathlib import Path

from tfsci.job.command import job_script

_OAK_RIDGE = (
    "scripts/train_cnn.py --variant oak-ridge --data diffraction --learning-rate 0.001 "
    "--strategy {} --output runs/{}"
)

# Of the courses in Oak Ridge and at Argonne: file name, and the options of `tfsci job`. The Oak
# Ridge CNN has 32 samples a rank, ResNet-50 64, and the GPT 4 in each of 8 batches an update.
EXAMPLES = {
    "oak-ridge-cnn-1cpu.sh": (
        "--site ascent --nodes 1 --gpus-per-node 0 --time 01:00 --account PROJECT",
        _OAK_RIDGE.format("single", "oak-ridge-cnn-1cpu") + " --batch-size 32",
    ),
    "oak-ridge-cnn-1gpu.sh": (
        "--site ascent --nodes 1 --gpus-per-node 1 --time 01:00 --account PROJECT",
        _OAK_RIDGE.format("single", "oak-ridge-cnn-1gpu") + " --batch-size 32",
    ),
    "oak-ridge-cnn-6gpu.sh": (
        "--site ascent --nodes 1 --gpus-per-node 6 --time 01:00 --account PROJECT",
        _OAK_RIDGE.format("horovod", "oak-ridge-cnn-6gpu")
        + " --batch-size 192 --scale-lr linear --warmup-epochs 1",
    ),
    "oak-ridge-resnet50-6gpu.sh": (
        "--site ascent --nodes 1 --gpus-per-node 6 --time 02:00 --account PROJECT",
        "scripts/train_resnet.py --variant 50 --data diffraction --strategy horovod "
        "--batch-size 384 --scale-lr linear --warmup-epochs 5 "
        "--output runs/oak-ridge-resnet50-6gpu",
    ),
    "oak-ridge-gpt-2x8.sh": (
        "--site frontier --nodes 2 --gpus-per-node 8 --time 02:00 --account PROJECT",
        "scripts/train_gpt.py --variant 11m --data sequences:samples=100000 --strategy horovod "
        "--batch-size 64 --accumulate 8 --precision mixed_bfloat16 --warmup-epochs 1 "
        "--output runs/oak-ridge-gpt-2x8",
    ),
    "polaris-cnn-2x4.sh": (
        "--site polaris --nodes 2 --gpus-per-node 4 --time 01:00 --account PROJECT --queue debug",
        "scripts/train_cnn.py --strategy horovod --batch-size 384 --scale-lr linear "
        "--warmup-epochs 3 --output runs/polaris-cnn-2x4",
    ),
}


def make(name: str) -> str:
    """Returns an example's text."""
    options, script = EXAMPLES[name]
    file = f"scripts/jobs/{name}"
    return job_script([*shlex.split(options), "--script", script, "--output", file])[1]


def write(folder: str | Path) -> None:
    """Writes all examples into a folder, over what is there."""
    for name in EXAMPLES:
        (Path(folder) / name).write_text(make(name), encoding="utf-8")
