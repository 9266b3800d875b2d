"""What `tfsci doctor` says of what it is given: fine, missing, or broken with the next step."""

import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfsci.distributed.cores import as_ranges, cores_of_rank
from tfsci.distributed.launch import Launch
from tfsci.distributed.numa import nodes_of_cores
from tfsci.machine import Outcome

_PIP = f"{sys.executable} -m pip install"
_INSTALL, _REBUILD = "tfsci install-horovod", "tfsci install-horovod --rebuild"


@dataclass(frozen=True)
class Finding:
    """A line of the screen.

    Attributes:
        status: ``"ok"``, ``"missing"``, ``"slow"`` (works, but slower than it could),
            ``"problem"`` (is there and does not work) or ``"running"``; between ranks
            ``"conflict"`` or ``"note"``.
        name: What was looked at.
        text: What was found.
        next_step: What to do about it.
    """

    status: str
    name: str
    text: str
    next_step: str | None = None


def check_package(title: str, version: str | None, error: str = "") -> Finding:
    """TensorFlow, Keras or NumPy: its version, or None and why it does not load."""
    if version:
        return Finding("ok", title, version)
    name = title.lower()
    if f"No module named '{name}'" in error:
        return Finding("missing", title, "not in this environment", f"{_PIP} {name}")
    step = f"{_PIP} --force-reinstall {name}"
    if "SIGILL" in error:
        step = "its wheel needs a processor with AVX (see /proc/cpuinfo): use another machine"
    return Finding("problem", title, f"does not load: {error}", step)


def check_backend(environ: Mapping[str, str]) -> Finding:
    """Keras' backend: tfsci trains on TensorFlow alone."""
    if (backend := environ.get("KERAS_BACKEND", "tensorflow")) == "tensorflow":
        return Finding("ok", "backend", "Keras computes with TensorFlow")
    text = f"KERAS_BACKEND={backend}, but training needs tensorflow"
    return Finding("problem", "backend", text, "unset KERAS_BACKEND")


def check_launcher(launch: Launch, twins: str = "") -> Finding:
    """Who started this process.

    Args:
        launch: This process's place in the job.
        twins: What `alone.check` found wrong.
    """
    if twins:
        text, _, step = twins.partition(": each would train alone; ")
        return Finding("problem", "launcher", text, step)
    told = "none" if launch.launcher == "none" else f"{launch.launcher}, 1 process"
    return Finding("ok", "launcher", told)


def check_cores(usable: Collection[int], node_cores: int, quota: float | None) -> Finding:
    """Cores, and the threads that ranks get.

    Args:
        usable: Cores this process may run on.
        node_cores: Number of cores of the node.
        quota: So many cores' time the cgroup grants; None where it sets no limit.
    """
    launches = [Launch("horovodrun", 0, n, 0, n) for n in (1, 2)]
    one, two = (len(cores_of_rank(each, usable)) for each in launches)
    text = f"{len(usable)} of {node_cores} may be used"
    text += f", threads: {one} for 1 rank, {two} each for 2 ranks"
    if quota is None or quota >= len(usable):
        return Finding("ok", "cores", text)
    text += f"; but a cgroup grants the time of {quota:g}, so threads wait for each other"
    fitting = ",".join(map(str, sorted(usable)[: max(1, int(quota))]))
    return Finding("slow", "cores", text, f"put 'taskset -c {fitting}' before each command")


def check_numa(
    nodes: Mapping[int, Collection[int]],
    usable: Collection[int],
    gpus: Mapping[str, int | None],
) -> Finding:
    """Which cores and GPUs are near to each other, and whether this process may use those.

    Args:
        nodes: Cores of each NUMA node.
        usable: Cores this process may run on.
        gpus: NUMA node of each GPU by its PCI address; None where the system does not tell.
    """
    if not nodes:
        return Finding("ok", "NUMA", "the system does not tell of nodes")
    told = []
    for node, cores in nodes.items():
        here = [gpu for gpu, its in gpus.items() if its == node]
        text = f"{node} has {_cores(cores)}"
        if len(nodes) > 1 and (may := set(cores) & set(usable)) != set(cores):
            text += f" (may be used: {as_ranges(may) or 'none'})"
        told.append(text + f" and GPU {', '.join(here)}" * bool(here))
    text = f"{len(nodes)} node{'s' * (len(nodes) > 1)}: {'; '.join(told)}"
    if untold := [gpu for gpu, its in gpus.items() if its not in nodes]:
        text += f"; GPU {', '.join(untold)}: the system does not tell"
    near = {node for node in gpus.values() if node in nodes}
    if near and not near & set(nodes_of_cores(usable, nodes)):
        text += "; none of the cores that may be used is near a GPU"
        cores = as_ranges(core for node in near for core in nodes[node])
        return Finding("slow", "NUMA", text, f"bind to cores {cores}, or ask the batch system to")
    return Finding("ok", "NUMA", text)


def check_memory(free: float, total: float) -> Finding:
    """Memory in GiB: a process that trains a small model takes 0.7."""
    text = f"{free:.1f} of {total:.1f} GiB free"
    if free >= 1:
        return Finding("ok", "memory", text)
    step = "end other programs, or ask the batch system for more (Slurm: --mem=8G)"
    return Finding("problem", "memory", f"{text}, but a rank needs about 1 GiB", step)


def check_gpus(
    machine: Sequence[str], seen: Sequence[str], environ: Mapping[str, str], log: str = ""
) -> Finding:
    """GPUs that TensorFlow sees, against those of the machine.

    Args:
        machine: Names of the machine's; paths under /dev where nvidia-smi does not run.
        seen: Names of TensorFlow's.
        environ: The environment, which may hide some.
        log: What TensorFlow said when it looked.
    """
    if len(seen) >= len(machine):
        return Finding("ok", "GPU", _listed(seen) or "none; TensorFlow computes on the CPU")
    text = f"TensorFlow sees {len(seen)} of {_listed(machine)}"
    if (visible := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        text += f", with CUDA_VISIBLE_DEVICES={visible}"
        if len(seen) >= (0 if visible in ("", "-1") else visible.count(",") + 1):
            return Finding("ok", "GPU", text)
    if said := re.search(r"failed call to cuInit: .*|Cannot dlopen some GPU libraries", log):
        text += f" ({said[0]})"
    step = f"{_PIP} 'tensorflow[and-cuda]' brings CUDA and cuDNN"
    if machine[0].startswith("/dev"):
        step = "get nvidia-smi to run here; in a container: apptainer --nv, docker --gpus all"
    return Finding("problem", "GPU", text, step)


def check_horovod(
    version: str | None, features: Collection[str], error: str = "", num_gpus: int = 0
) -> Finding:
    """Horovod and what it was built with.

    Args:
        version: Of the installed one; None where there is none.
        features: Which of MPI, Gloo and NCCL it has; none where it does not load.
        error: Why it does not load.
        num_gpus: GPUs that TensorFlow sees.
    """
    if version is None:
        return Finding("missing", "Horovod", "not in this environment", _INSTALL)
    if not features:
        step = _REBUILD
        if "libmpi" in error:
            step = f"load the MPI it was built with (module load ...), or {_REBUILD}"
        elif lacking := re.search(r"No module named '(?!horovod)(\w+)", error):
            step = f"{_PIP} {lacking[1].replace('yaml', 'pyyaml')}"
        return Finding("problem", "Horovod", f"{version} does not load: {error}", step)
    text = f"{version} with {', '.join(features)}"
    if num_gpus > 1 and "NCCL" not in features:
        step = f"load CUDA and NCCL (nvcc on the PATH) and {_INSTALL}"
        return Finding("slow", "Horovod", f"{text}; without NCCL, GPUs exchange by the CPU", step)
    return Finding("ok", "Horovod", text)


def check_horovodrun(found: Path | None, own: Path) -> Finding:
    """The horovodrun on the PATH, against that of the Horovod which Python finds."""
    step = f'export PATH="{own.parent}:$PATH"'
    if found is None:
        return Finding("missing", "horovodrun", "not on the PATH", step)
    if found.resolve() != own.resolve():
        return Finding("problem", "horovodrun", f"{found} is another environment's", step)
    return Finding("ok", "horovodrun", str(found))


def check_all_reduce(outcome: Outcome) -> Finding:
    """Two ranks that each gave their rank + 1 and reported the sum."""
    sums = [report["sum"] for report in outcome.reports]
    if outcome.code == 0 and sums == [3, 3]:
        text = f"{outcome.reports[0]['transport']}: 2 ranks ran and agreed on a sum"
        return Finding("ok", "all-reduce", f"{text}, in {outcome.seconds:.1f} s")
    text, step = f"2 ranks failed: {outcome.error}", f"if that names no cause: {_REBUILD}"
    if outcome.code == 0:
        text, step = f"2 ranks added 1 and 2 and got {sums}", _REBUILD
    elif outcome.code is None:
        step = "try horovodrun --network-interfaces lo ...: a firewall or VPN may be in the way"
    return Finding("problem", "all-reduce", text, step)


def conclude(findings: Sequence[Finding]) -> tuple[str, int]:
    """Returns the last line and the exit code."""
    for each in findings:
        needed = each.name in ("TensorFlow", "Keras", "NumPy", "backend")
        if needed and each.status in ("missing", "problem"):
            return f"This machine can't train: {each.name}: {each.text}", 1
    named = {each.name: each for each in findings}
    last = named.get("all-reduce", named["Horovod"])
    words = {
        "ok": f" and with Horovod ({last.text.partition(':')[0]}).",
        "missing": f"; for many: {_INSTALL}",
        "problem": ", but not with Horovod.",
    }[last.status]
    problems = [each.name for each in findings if each.status == "problem"]
    mend = f" To mend: {', '.join(problems)}." if problems else ""
    return f"This machine can train in one process{words}{mend}", int(bool(problems))


def _cores(cores: Collection[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {as_ranges(cores)}" if cores else "no cores"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{number} x {name}" for name, number in Counter(names).items())
