"""Where rank 0 listens and what its job is called, worked out alike on every rank."""

import os
import re
import socket
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from tfsci.distributed.launch import Launch
from tfsci.distributed.nodes import cluster, first_port, node_list

# What names a job, and the part of it that was started, on all ranks of a launcher; mpirun may
# reach other nodes by ssh, which takes no scheduler's variables along.
_JOB_VARIABLES = {
    "srun": ("SLURM_JOB_ID", "SLURM_STEP_ID"),
    "mpirun": ("PMIX_NAMESPACE",),
    "jsrun": ("LSB_JOBID", "PMIX_NAMESPACE"),
    "pals": ("PBS_JOBID", "PALS_APID"),
    "alps": ("PBS_JOBID", "ALPS_APP_ID"),
    "torchrun": ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"),
}
_ANY_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
_ADDRESS_VARIABLES = ("TFSCI_COORDINATOR", "MASTER_ADDR", "MASTER_PORT", "TFSCI_PORT")


@dataclass(frozen=True)
class Coordinator:
    """Where rank 0 listens.

    Attributes:
        host: Name or address of rank 0's host, as told.
        port: Its port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def find_coordinator(launch: Launch, environ: Mapping[str, str]) -> Coordinator:
    """Returns where rank 0 of this job listens, the same on every rank.

    Args:
        launch: This process's place in the job.
        environ: The process's environment.

    Raises:
        ValueError: A variable is malformed, or nothing tells which node has rank 0.
    """
    if text := environ.get("TFSCI_COORDINATOR"):
        host, _, port = text.rpartition(":")
        if not host:
            raise ValueError(f"TFSCI_COORDINATOR={text!r}: expected host:port of rank 0")
        return Coordinator(host, _port(port, "TFSCI_COORDINATOR", text))
    given = {"TFSCI_PORT": environ["TFSCI_PORT"]} if "TFSCI_PORT" in environ else {}
    port = first_port({"TORCHELASTIC_RUN_ID": _job(launch, environ), **given})
    if text := environ.get("MASTER_PORT"):
        port = _port(text, "MASTER_PORT", text)
        if environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            port += 1  # torchrun itself listens on this one
    return Coordinator(environ.get("MASTER_ADDR") or _first_host(launch, environ), port)


def job_token(launch: Launch, environ: Mapping[str, str]) -> str:
    """Returns what the ranks of this job and of no other say."""
    job = _job(launch, environ)
    return f"{launch.launcher}, {launch.world_size} processes, {job}"[:200]


def _job(launch: Launch, environ: Mapping[str, str]) -> str:
    names = _JOB_VARIABLES.get(launch.launcher, _ANY_JOB)
    if found := [environ[name] for name in names if environ.get(name)]:
        return f"job {'.'.join(found)}"
    if launch.launcher == "torchrun" and not any(map(environ.get, _ADDRESS_VARIABLES)):
        # Ranks of one command that one shell started; another terminal's, or another command's
        # beside it, are another job.
        command = zlib.crc32("\0".join([os.getcwd(), *sys.argv]).encode(errors="replace"))
        return f"session {os.getsid(0)}, command {command:08x}"
    return f"user {os.getuid()}"


def _first_host(launch: Launch, environ: Mapping[str, str]) -> str:
    if launch.num_nodes == 1:
        return "127.0.0.1"
    if launch.launcher == "TF_CONFIG":
        workers = cluster(environ)["cluster"]
        return [*workers.get("chief", []), *workers.get("worker", [])][0].rpartition(":")[0]
    nodes = node_list(environ)
    if len(nodes) < 2:  # this host alone, where no scheduler tells
        raise ValueError(
            f"{launch.launcher} started {launch.world_size} processes on several nodes and no "
            "variable lists these: set TFSCI_COORDINATOR=host:port, with rank 0's host and a free "
            "port, for every rank"
        )
    return nodes[0]


def resolve(coordinator: Coordinator) -> str:
    """Returns the IP address of rank 0's host; raises a ConnectionError for an unknown name."""
    try:
        return socket.gethostbyname(coordinator.host)
    except OSError as error:
        raise ConnectionError(
            f"rank 0's host {coordinator.host} is not known on {socket.gethostname()} "
            f"({error.strerror}): set TFSCI_COORDINATOR=host:port with a name or address that is"
        ) from None


def _port(text: str, name: str, value: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 1 << 16:
        return int(text)
    raise ValueError(f"{name}={value!r}: expected a port between 1 and 65535")
