"""What a rank computes on: one GPU, or its share of the cores."""

from tfsci.distributed.cores import UNBOUND
from tfsci.distributed.launch import Launch


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
        gpu = gpus[gpu_of_rank(len(gpus), launch)]
        tf.config.set_visible_devices(gpu, "GPU")
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return bool(gpus)


def gpu_of_rank(num_visible: int, launch: Launch) -> int:
    """Returns which of the visible GPUs a rank takes.

    Args:
        num_visible: GPUs that this process sees: all of the node, or the one that the launcher
            gave it.
        launch: This process's place in the job.

    Raises:
        ValueError: There are more local ranks than GPUs.
    """
    if num_visible >= launch.local_size:
        return launch.local_rank
    if num_visible == 1 and launch.launcher not in UNBOUND:
        return 0
    raise ValueError(
        f"{launch.local_size} ranks on this node but {num_visible} visible GPU(s): start at most "
        f"{num_visible} a node, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU"
    )
