"""The nodes of the job, and from them the TF_CONFIG that tells TensorFlow who the workers are."""

import itertools
import json
import os
import re
import socket
import zlib
from collections.abc import Iterator, Mapping, Sequence

from tfsci.distributed.launch import (
    Launch,
    detect,
    hosts_in_file,
    parse_tf_config,
    tasks_per_node,
    whole_number,
)

# A list of nodes as Slurm writes it: nid[001-003,007],login1
_RANGES = r"\[[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*\]"
_NAME = rf"(?:[\w.-]|{_RANGES})+"
_LIST = re.compile(rf"{_NAME}(?:,{_NAME})*", re.ASCII)

# What names a job, the same on all its ranks: of the scheduler, and where there are several runs
# in a job, of the launcher.
_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "LSB_JOBINDEX", "COBALT_JOBID", "PALS_APID",
        "PMIX_NAMESPACE", "TORCHELASTIC_RUN_ID")  # fmt: skip

# Below Linux' ephemeral ports (32768–60999, ip(7)) and Kubernetes' (30000–32767), above those of
# most services; a node's ranks take a few from the first on.
_FIRST_PORT, _NUM_PORTS = 20_000, 9_000


def cluster(environ: Mapping[str, str] = os.environ) -> dict:
    """Returns the TF_CONFIG of this process, made from its launcher's variables and node list.

    Args:
        environ: The process's environment; a TF_CONFIG in it is returned as it is.

    Raises:
        ValueError: The variables contradict each other, or do not tell where the ranks are.
        FileNotFoundError: The scheduler's file of nodes is not on this node.
    """
    launch = detect(environ)
    given = parse_tf_config(environ.get("TF_CONFIG", "{}"))
    if given:
        if (given.rank, given.world_size) == (launch.rank, launch.world_size):
            return json.loads(environ["TF_CONFIG"])
        raise ValueError(
            f"TF_CONFIG in the environment is of worker {given.rank} of {given.world_size} but "
            f"{launch.launcher} started this process as rank {launch.rank} of "
            f"{launch.world_size}: unset it, and it is made from {launch.launcher}'s variables"
        )
    counts = tasks_per_node(environ) if launch.launcher == "srun" else None
    return tf_config(launch, node_list(environ), first_port(environ), counts)


def tf_config(
    launch: Launch, nodes: Sequence[str], first_port: int, counts: Sequence[int] | None = None
) -> dict:
    """Returns a TF_CONFIG whose worker r is rank r of the job.

    The first node has the first ranks, the next one the next; each rank's port is the first port
    plus its local rank.

    Args:
        launch: This process's place in the job.
        nodes: The job's nodes in order; it may use the first of them alone.
        first_port: Port of each node's first rank.
        counts: Number of ranks on each node; by default as many as on this one, the last node
            with what remains.

    Raises:
        ValueError: There are too few nodes or ports, or this process is not where it would be
            were the ranks placed so.

    Example:
        >>> config = tf_config(Launch("srun", 2, 3, 0, 1, 1, 2), ["n1", "n2"], 20000, [2, 1])
        >>> config["cluster"]["worker"]
        ['n1:20000', 'n1:20001', 'n2:20000']
        >>> config["task"]
        {'type': 'worker', 'index': 2}
    """
    if not counts:
        full, rest = divmod(launch.world_size, launch.local_size)
        counts = [launch.local_size] * full + [rest] * (rest > 0)
    if sum(counts) != launch.world_size:
        raise ValueError(
            f"{launch.launcher} started {launch.world_size} processes but lists {sum(counts)} on "
            f"its nodes ({_short(counts)}); start the job anew"
        )
    if len(nodes) < len(counts):
        raise ValueError(
            f"{launch.launcher} started {launch.world_size} processes with {launch.local_size} on "
            f"this node, which needs {len(counts)} nodes, but the job's list has {len(nodes)} "
            f"({_short(nodes)}): start as many on each node, under a scheduler, or set TF_CONFIG"
        )
    if first_port + max(counts) > 65_536:
        raise ValueError(
            f"first port {first_port}: expected at most {65_536 - max(counts)}, for {max(counts)} "
            "ranks on a node; set TFSCI_PORT to a smaller one"
        )
    places = [
        (node, local_rank, count)
        for node, count in enumerate(counts)
        for local_rank in range(count)
    ]
    found = (launch.node_rank, launch.local_rank, launch.local_size)
    if places[launch.rank] != found:
        node, local_rank, local_size = places[launch.rank]
        raise ValueError(
            f"rank {launch.rank} is local rank {found[1]} of {found[2]} on node {found[0]}; "
            f"expected {local_rank} of {local_size} on node {node}, the nodes filled one after "
            "the other: start it so (srun --distribution=block, mpirun --map-by slot), with as "
            "many on each node, or set TF_CONFIG"
        )
    workers = [f"{nodes[node]}:{first_port + local_rank}" for node, local_rank, _ in places]
    return {
        "cluster": {"worker": workers},
        "task": {"type": "worker", "index": launch.rank},
    }


def node_list(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Returns the nodes that the job's ranks run on, in order; this host without a scheduler.

    Args:
        environ: The process's environment.

    Raises:
        ValueError: A list is malformed.
        FileNotFoundError: The scheduler's file of nodes is not on this node.
    """
    launch = detect(environ)
    # Under an mpirun that srun started, the step's nodes are those of mpirun's daemons.
    step = "SLURM_STEP_NODELIST" if launch.launcher == "srun" else ""
    for name in (step, "SLURM_JOB_NODELIST"):
        if name in environ:
            try:
                return expand(environ[name])
            except ValueError as error:
                raise ValueError(f"{name} in the environment: {error}") from None
    if "PBS_NODEFILE" in environ:
        return hosts_in_file(environ, "PBS_NODEFILE")
    if "LSB_DJOB_HOSTFILE" in environ or "LSB_MCPU_HOSTS" in environ:
        hosts = _lsf_hosts(environ)
        # On Summit the first host starts the job's script, and jsrun runs nothing on it.
        batch = launch.launcher == "jsrun" and len(hosts) > launch.num_nodes
        return hosts[1:] if batch else hosts
    if "COBALT_NODEFILE" in environ:
        return hosts_in_file(environ, "COBALT_NODEFILE")
    return [socket.gethostname()]


def expand(text: str) -> list[str]:
    """Returns the names in a list of nodes as Slurm writes it.

    Args:
        text: Such as ``"nid[001-003,007],login1"``. Numbers keep the width of a range's first;
            of several brackets in a name the last counts fastest.

    Raises:
        ValueError: It is no such list.

    Example:
        >>> expand("nid[08-10],a[1-2]b[3,5]")
        ['nid08', 'nid09', 'nid10', 'a1b3', 'a1b5', 'a2b3', 'a2b5']
    """
    if not _LIST.fullmatch(text):
        raise ValueError(f"{text!r} is no list of nodes such as nid[001-003,007],login1")
    names = []
    for name in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        parts = re.split(r"\[([^\]]*)\]", name)  # a literal and a bracket in turn
        parts[::2] = ([literal] for literal in parts[::2])
        parts[1::2] = (list(_numbers(ranges)) for ranges in parts[1::2])
        names += map("".join, itertools.product(*parts))
    return names


def first_port(environ: Mapping[str, str] = os.environ) -> int:
    """Returns the port of each node's first rank, the same on all ranks of a job.

    It follows from the job's id, so that jobs which share a node rarely meet; TFSCI_PORT in the
    environment of all ranks sets another.

    Raises:
        ValueError: TFSCI_PORT is no port that a user may open.
    """
    port = whole_number(environ, "TFSCI_PORT")
    if port is not None:
        if not 1024 <= port <= 65_535:
            raise ValueError(f"TFSCI_PORT={port} in the environment: expected 1024 to 65535")
        return port
    # Ranks of an mpirun inside Slurm may be of several steps: its daemons'.
    step = ["SLURM_STEP_ID"] if detect(environ).launcher == "srun" else []
    job = ".".join(environ[name] for name in (*_JOB, *step) if name in environ)
    return _FIRST_PORT + zlib.crc32((job or environ.get("USER", "")).encode()) % _NUM_PORTS


def _numbers(ranges: str) -> Iterator[str]:
    """Yields the numbers of ``"001-003,007"``, each as wide as its range's first."""
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        last = last or first
        if int(last) < int(first):
            raise ValueError(f"range {part} runs backwards")
        for number in range(int(first), int(last) + 1):
            yield f"{number:0{len(first)}}"


def _lsf_hosts(environ: Mapping[str, str]) -> list[str]:
    """LSF's hosts, the first of which runs the job's script; the file may be on that one alone."""
    text = environ.get("LSB_MCPU_HOSTS")
    if text is None:
        return hosts_in_file(environ, "LSB_DJOB_HOSTFILE")
    words = text.split()
    if not words or len(words) % 2 or not all(word.isdecimal() for word in words[1::2]):
        raise ValueError(f"LSB_MCPU_HOSTS={text!r} in the environment: expected hosts, each with "
                         "its slots, such as 'batch1 1 a01 42'; start the job anew")  # fmt: skip
    return list(dict.fromkeys(words[::2]))


def _short(items: Sequence) -> str:
    """The first few items of a list."""
    return ", ".join(map(str, items[:4])) + ", …" * (len(items) > 4)
