"""What a rank computes on: one GPU, or its share of the cores."""

import os
from collections.abc import Mapping

from tfsci.distributed.cores import UNBOUND
from tfsci.distributed.launch import Launch

# What hides GPUs from a process. ROCR's works below HIP's; HIP also reads CUDA's, after its own.
# No TensorFlow of today drives Intel's GPUs, which ZE_AFFINITY_MASK hides.
MASKS = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


def set_devices(launch: Launch, threads: int) -> bool:
    """Gives this rank one GPU, if there are any, and its share of the cores.

    Args:
        launch: This process's place in the job.
        threads: Number of its cores.

    Returns:
        Whether there are GPUs.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        gpu = gpus[gpu_of_rank(len(gpus), launch, os.environ)]
        tf.config.set_visible_devices(gpu, "GPU")
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return bool(gpus)


def gpu_of_rank(num_visible: int, launch: Launch, environ: Mapping[str, str] | None = None) -> int:
    """Returns which of the visible GPUs a rank takes.

    One GPU that each rank of a node sees is its own where the launcher hands GPUs out, or where
    the rank's mask names its local rank (``CUDA_VISIBLE_DEVICES=$LOCAL_RANK``), which no two
    ranks' do. Whether it really is another's only `conflicts.find_conflicts` sees.

    Args:
        num_visible: GPUs that this process sees: all of the node, or the one that the launcher
            gave it.
        launch: This process's place in the job.
        environ: The process's environment, for its masks; none by default.

    Raises:
        ValueError: There are more local ranks than GPUs.
    """
    if num_visible >= launch.local_size:
        return launch.local_rank
    # Several entries that show one GPU are MIG instances: CUDA opens the first alone, on any rank.
    masks = [entries for name in MASKS[:3] if (entries := (environ or {}).get(name)) is not None]
    single = [entries.strip() for entries in masks if "," not in entries]
    if num_visible == 1 and launch.launcher not in UNBOUND and (single or not masks):
        return 0
    if num_visible == 1 and single[:1] == [str(launch.local_rank)]:
        return 0
    raise ValueError(
        f"{launch.local_size} ranks on this node but {num_visible} visible GPU(s): start at most "
        f"{num_visible} a node, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU"
    )
