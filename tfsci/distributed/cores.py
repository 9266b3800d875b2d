"""Which cores a rank computes on, so that the ranks of a node never fight for one."""

import os
from collections.abc import Collection, Iterable

from tfsci.distributed.launch import Launch, whole_number

# Their ranks, started by a shell or another Python, are never bound, and are handed no GPUs.
UNBOUND = ("horovodrun", "torchrun", "TF_CONFIG")


def cores_of_rank(
    launch: Launch, usable: Collection[int] | None = None, node_cores: int | None = None
) -> list[int]:
    """Returns the cores of a rank: those its launcher bound it to, or its share of all.

    Where the ranks of a node could all have as many cores as this one sees, the launcher has
    bound each to its own. Otherwise all see the same cores, which are dealt out in order.

    Args:
        launch: This process's place in the job.
        usable: Cores this process may run on; its affinity by default.
        node_cores: Number of cores that the job has on this node; what Slurm says, or all, by
            default.
    """
    usable = sorted(os.sched_getaffinity(0) if usable is None else usable)
    node_cores = node_cores or whole_number(os.environ, "SLURM_CPUS_ON_NODE") or os.cpu_count()
    binds = launch.launcher not in UNBOUND
    if binds and len(usable) * launch.local_size <= node_cores:
        return usable
    share = len(usable) // launch.local_size
    if share == 0:  # more ranks than cores
        return [usable[launch.local_rank % len(usable)]]
    return usable[launch.local_rank * share : (launch.local_rank + 1) * share]


def bind(cores: Collection[int]) -> None:
    """Keeps this process, and the threads it starts from now on, on these cores.

    Unbound, Horovod's threads push the computing ones from core to core: two ranks on two cores
    were a tenth to a fifth slower.
    """
    os.sched_setaffinity(0, cores)


def as_ranges(numbers: Iterable[int]) -> str:
    """Returns numbers in order with runs drawn together, as the kernel lists cores.

    >>> as_ranges([8, 0, 1, 2, 3])
    '0-3,8'
    """
    runs = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def from_ranges(text: str) -> list[int]:
    """Returns the numbers of a list such as ``"0-3,8"``; none of an empty one."""
    runs = [part.partition("-") for part in text.strip().split(",") if part]
    return [n for first, _, last in runs for n in range(int(first), int(last or first) + 1)]
