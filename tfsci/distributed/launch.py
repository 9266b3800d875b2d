"""Who started this process, told by the environment variables that each launcher sets."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """One process's place in a job.

    Attributes:
        launcher: ``"horovodrun"``, ``"mpirun"``, ``"srun"``, ``"jsrun"``, ``"pals"`` or ``"none"``.
        rank: This process among all, 0 … world_size − 1.
        world_size: Number of processes.
        local_rank: This process among those of its node.
        local_size: Number of processes on this node.
        node_rank: This node among all; where the launcher does not say, as if all had as many.
        num_nodes: Number of nodes; likewise.
    """

    launcher: str = "none"
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node_rank: int = 0
    num_nodes: int = 1


# Launcher; then the variables of rank, world size, local rank and size, node rank and number of
# nodes; the innermost launcher first.  Inside a Slurm allocation a batch script has SLURM_PROCID
# too: only the SLURM_STEP_* ones tell a task of srun.
_VARIABLES = (
    ("horovodrun", "HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE",
     "HOROVOD_CROSS_RANK", "HOROVOD_CROSS_SIZE"),
    ("jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK",
     "JSM_NAMESPACE_LOCAL_SIZE", "", ""),
    ("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_NODE_RANK", ""),
    ("pals", "PALS_RANKID", "PMI_SIZE", "PALS_LOCAL_RANKID", "PMI_LOCAL_SIZE", "PALS_NODEID", ""),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "",
     "SLURM_NODEID", "SLURM_STEP_NUM_NODES"),
)  # fmt: skip


def detect(environ: Mapping[str, str] = os.environ) -> Launch:
    """Returns the place in its job that the launcher gave this process.

    Args:
        environ: The process's environment.

    Returns:
        A `Launch`; one process of one where no launcher shows.

    Raises:
        ValueError: A launcher's variable is not a whole number.
    """
    for launcher, *names in _VARIABLES:
        if names[0] in environ and names[1] in environ:
            rank, size, local_rank, local_size, node_rank, num_nodes = (
                whole_number(environ, name) for name in names
            )
            if not size:
                raise ValueError(f"{names[1]}=0 in the environment: expected at least 1 process")
            local_size = local_size or _tasks_on_node(environ, node_rank or 0) or size
            num_nodes = num_nodes or -(-size // local_size)
            if launcher == "mpirun":  # its NODE_RANK counts within the node, whatever its name says
                node_rank = None
            node_rank = rank // local_size if node_rank is None else node_rank
            return Launch(launcher, rank, size, local_rank or 0, local_size, node_rank, num_nodes)
    return Launch()


def whole_number(environ: Mapping[str, str], name: str) -> int | None:
    """Returns a variable as a number, None where it is not set; else raises a ValueError."""
    value = environ.get(name)
    if value is None:
        return None
    if not value.isdecimal():
        raise ValueError(f"{name}={value!r} in the environment is not a whole number; "
                         "start the job anew with its launcher")  # fmt: skip
    return int(value)


def _tasks_on_node(environ: Mapping[str, str], node: int) -> int | None:
    """Tasks of a node from Slurm's compressed list: ``"2(x2),1"`` is 2, 2 and 1."""
    text = environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    counts = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not found:
            raise ValueError(
                f"SLURM_STEP_TASKS_PER_NODE={text!r} in the environment is no list such as "
                "2(x2),1; start the job anew with srun"
            )
        counts += [int(found[1])] * int(found[2] or 1)
    return counts[node] if node < len(counts) else None
