"""Who started this process, told by the environment variables that each launcher sets."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """One process's place in a job.

    Attributes:
        launcher: ``"horovodrun"``, ``"torchrun"`` (or whatever else sets RANK and WORLD_SIZE),
            ``"jsrun"`` (LSF), ``"mpirun"`` (OpenMPI), ``"mvapich"``, ``"srun"`` (Slurm),
            ``"pals"`` (mpiexec of HPE Cray), ``"alps"`` (aprun), ``"mpich"`` (Hydra, Intel MPI),
            ``"TF_CONFIG"`` or ``"none"``.
        rank: This process among all, 0 … world_size − 1.
        world_size: Number of processes.
        local_rank: This process among those of its node; where the launcher does not say, as if
            each node had a block of ranks.
        local_size: Number of processes on this node; where the launcher does not say, all.
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
# nodes, the first that is set where there are several; the innermost launcher first.
_VARIABLES = (
    # horovod/runner/gloo_run.py, create_slot_env_vars
    ("horovodrun", "HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE",
     "HOROVOD_CROSS_RANK", "HOROVOD_CROSS_SIZE"),
    # docs.pytorch.org/docs/stable/elastic/run; only torchrun itself sets GROUP_RANK
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK",
     "GROUP_WORLD_SIZE"),
    # read so by PRRTE's tests; Spectrum MPI sets OpenMPI's too
    ("jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK",
     "JSM_NAMESPACE_LOCAL_SIZE", "", ""),
    # docs.open-mpi.org/en/v5.0.x/tuning-apps/environment-var; see _read on NODE_RANK
    ("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_NODE_RANK", ""),
    # read so by PRRTE's tests
    ("mvapich", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK",
     "MV2_COMM_WORLD_LOCAL_SIZE", "", ""),
    # srun(1) and a Slurm 22.05: a batch script has SLURM_PROCID too, a task alone has SLURM_STEP_*
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "", "SLURM_NODEID",
     "SLURM_STEP_NUM_NODES"),
    # Polaris sets PMI_SIZE; Aurora (PALS_PMI=pmix) no size at all: github.com/meta-pytorch/
    # torchcomms/pull/79
    ("pals", "PALS_RANKID", "PMI_SIZE WORLD_SIZE", "PALS_LOCAL_RANKID",
     "PALS_LOCAL_SIZE PMI_LOCAL_SIZE", "PALS_NODEID", ""),
    # no variable tells the size: ECMWF's ec_mpisize
    ("alps", "ALPS_APP_PE", "PMI_SIZE WORLD_SIZE", "", "LOCAL_WORLD_SIZE", "", ""),
    # seen under Hydra 4.0.2; Intel MPI's are the same, a Cray's PMI says LOCAL its own way
    ("mpich", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID PMI_LOCAL_RANK",
     "MPI_LOCALNRANKS PMI_LOCAL_SIZE", "", ""),
    # torchrun's names, set by a script or a container platform
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", ""),
)  # fmt: skip

_ANEW = "start the job anew with its launcher"

# Launchers that may tell the rank and not the size, and how a user passes it.
_PASS_SIZE = {"pals": "mpiexec --env WORLD_SIZE=N -n N", "alps": "aprun -e WORLD_SIZE=N -n N"}


def detect(environ: Mapping[str, str] = os.environ) -> Launch:
    """Returns the place in its job that the launcher gave this process.

    Args:
        environ: The process's environment.

    Returns:
        A `Launch`; one process of one where no launcher shows, also within an allocation.

    Raises:
        ValueError: A launcher's variable is malformed, missing, or contradicts another.
        FileNotFoundError: Only PBS' file of nodes could tell the size, and it is not here.
    """
    for launcher, *names in _VARIABLES:
        set_names = [_first_set(environ, name) for name in names]
        if set_names[0] in environ and _started(launcher, environ, *set_names):
            launch = _read(launcher, environ, *set_names)
            break
    else:
        launch = Launch()
    if launch.world_size == 1:  # perhaps of a script that starts several with a TF_CONFIG each
        return parse_tf_config(environ.get("TF_CONFIG", "{}")) or launch
    return launch


def parse_tf_config(text: str) -> Launch | None:
    """Returns the place that a TF_CONFIG gives this process, None where it names no cluster.

    As TensorFlow counts, a chief is the first worker.

    Raises:
        ValueError: It is not as TensorFlow wants it, or of no worker.
    """
    example = (
        '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(text)
        if not config.get("cluster"):
            return None
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        chief, workers = cluster.get("chief", []), cluster.get("worker", [])
        hosts = [address.rpartition(":")[0] for address in [*chief, *workers]]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"TF_CONFIG={text!r} in the environment: expected JSON such as {example}; "
                         "correct it, or unset it under a launcher") from None  # fmt: skip
    if kind not in ("chief", "worker") or not 0 <= index < len(cluster.get(kind, [])):
        raise ValueError(f"TF_CONFIG in the environment is of task {kind!r} {index}: expected a "
                         "chief or worker of its cluster; correct its task")  # fmt: skip
    rank = index + (len(chief) if kind == "worker" else 0)
    here = [other for other, host in enumerate(hosts) if host == hosts[rank]]
    nodes = list(dict.fromkeys(hosts))
    return Launch("TF_CONFIG", rank, len(hosts), here.index(rank), len(here),
                  nodes.index(hosts[rank]), len(nodes))  # fmt: skip


def whole_number(environ: Mapping[str, str], name: str) -> int | None:
    """Returns a variable as a number, None where it is not set; else raises a ValueError."""
    value = environ.get(name)
    if value is None:
        return None
    if not value.isdecimal():
        raise ValueError(f"{name}={value!r} in the environment is not a whole number; {_ANEW}")
    return int(value)


def tasks_per_node(environ: Mapping[str, str]) -> list[int]:
    """Returns srun's number of tasks on each node: ``"2(x2),1"`` is 2, 2 and 1; [] if not told."""
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
    return counts


def hosts_in_file(environ: Mapping[str, str], name: str) -> list[str]:
    """Returns the hosts of the file that a variable names, a line each, repeated ones once.

    Raises:
        FileNotFoundError: The file is not on this node.
        ValueError: It names no host.
    """
    path = environ[name]
    try:
        with open(path, encoding="utf-8") as file:
            hosts = [line.split()[0] for line in file if line.strip()]
    except OSError as error:
        raise FileNotFoundError(
            f"{name}={path} cannot be read on this node ({error.strerror}): expected the job's "
            f"nodes, a line each; copy it to a shared folder and set {name} to the copy"
        ) from None
    if not hosts:
        raise ValueError(f"{name}={path} is empty: expected the job's nodes, a line each; {_ANEW}")
    return list(dict.fromkeys(hosts))


def _first_set(environ: Mapping[str, str], names: str) -> str:
    """Returns the first of several names that is set, or else the first."""
    names = names.split()
    return next((name for name in names if name in environ), names[0] if names else "")


def _started(launcher: str, environ: Mapping[str, str], rank: str, size: str, *names: str) -> bool:
    """Whether these variables, whose rank is set, are those of this launcher's own process."""
    if launcher == "torchrun" and names[2] == "GROUP_RANK":
        return size in environ and "GROUP_RANK" in environ
    if launcher == "srun" and "PMI_SIZE" in environ and "PMI_RANK" in environ:
        # srun sets PMI_* and, on a Cray, PALS_* itself (slurm/src/plugins/mpi/cray_shasta); those
        # of an mpiexec whose daemons are its tasks differ.
        same = environ["PMI_RANK"] == environ[rank]
        return same and environ["PMI_SIZE"] == environ.get(size)
    return size in environ or launcher in _PASS_SIZE


def _read(launcher: str, environ: Mapping[str, str], *names: str) -> Launch:
    """Returns what a launcher's variables say; what they do not, follows from the rest."""
    rank, size, local_rank, local_size, node_rank, num_nodes = (
        whole_number(environ, name) for name in names
    )
    if size is None and launcher == "pals" and local_size and "PBS_NODEFILE" in environ:
        size = local_size * len(hosts_in_file(environ, "PBS_NODEFILE"))
    if size is None:
        raise ValueError(f"{names[0]}={rank} in the environment, but nothing tells the number of "
                         f"processes; pass it with '{_PASS_SIZE[launcher]} …'")  # fmt: skip
    if size == 0:
        raise ValueError(f"{names[1]}=0 in the environment: expected at least 1 process")
    if launcher == "srun":
        counts = tasks_per_node(environ)
        local_size = counts[node_rank or 0] if (node_rank or 0) < len(counts) else None
    if launcher == "mpirun":  # its NODE_RANK counts within the node, whatever its name says
        node_rank = None
    local_size = local_size or size
    local_rank = rank % local_size if local_rank is None else local_rank
    node_rank = rank // local_size if node_rank is None else node_rank
    num_nodes = num_nodes or max(-(-size // local_size), node_rank + 1)
    for place, number, name, limit in (
        (rank, size, names[0], names[1]),
        (local_rank, local_size, names[2], names[3]),
    ):
        if place >= number:
            limit = f"{limit}={number}" if limit in environ else f"{number} in all"
            raise ValueError(
                f"{name}={place} contradicts {limit} in the environment: expected less; {_ANEW}"
            )
    return Launch(launcher, rank, size, local_rank, local_size, node_rank, num_nodes)
