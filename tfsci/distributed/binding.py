"""What a rank computes on: host, GPU, cores and versions, in a row that JSON can hold.

Every rank describes itself; whoever has all rows finds what is wrong between them with
`tfsci.distributed.conflicts`.
"""

import importlib.metadata
import os
import platform
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tfsci import __version__
from tfsci.distributed.devices import MASKS, gpu_of_rank
from tfsci.distributed.launch import Launch
from tfsci.distributed.numa import node_of_device, nodes_of_cores, numa_nodes


def row(
    launch: Launch,
    cores: Collection[int],
    gpus: Sequence[Mapping] = (),
    allowed: Collection[int] | None = None,
    environ: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> dict:
    """Returns what this rank computes on, as JSON can hold it.

    Args:
        launch: This process's place in the job.
        cores: Those that the rank computes on, with a thread each.
        gpus: Those that it sees, as `gpus.visible_gpus` describes them.
        allowed: Cores that its launcher let it use, where that is known.
        environ: The process's environment, for its masks.
        root: Where ``sys`` and ``proc`` are.
    """
    gpu, refusal = None, None
    if gpus:
        try:
            index = gpu_of_rank(len(gpus), launch, environ)
            gpu = {"index": index, **gpus[index]}
            gpu["numa"] = node_of_device(gpu["pci"], root)
        except ValueError as error:
            refusal = str(error)
    boot = root / "proc/sys/kernel/random/boot_id"  # tells hosts of one name apart
    names = ("tensorflow", "keras", "horovod")
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "rank": launch.rank,
        "launcher": launch.launcher,
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "local_rank": launch.local_rank,
        "local_size": launch.local_size,
        "cores": sorted(cores),
        "allowed": None if allowed is None else sorted(allowed),
        "threads": len(cores),
        "numa": nodes_of_cores(cores, numa_nodes(root)),
        "gpu": gpu,
        "gpu_refusal": refusal,
        "masks": {name: environ[name][:200] for name in MASKS if name in environ},
        "versions": {"python": python, "tfsci": __version__, **{n: _version(n) for n in names}},
    }


def _version(package: str) -> str | None:
    if told := getattr(sys.modules.get(package), "__version__", None):
        return told  # a TensorFlow for another GPU has a package of another name
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
