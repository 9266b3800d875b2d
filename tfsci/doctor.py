"""`tfsci doctor`: whether this machine can train, and the next step for what is missing.

The checks judge what they are given; `examine` gathers it. TensorFlow and Horovod are loaded in
processes of their own, so that a crash in them is a finding and not the end.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfsci import __version__
from tfsci.distributed.cores import cores_of_rank
from tfsci.distributed.launch import Launch, detect
from tfsci.machine import Outcome, cpu_quota, machine_gpus, memory, run
from tfsci.training.options import Parser

_PIP = f"{sys.executable} -m pip install"
_INSTALL, _REBUILD = "tfsci install-horovod", "tfsci install-horovod --rebuild"

# Reports what it finds until something fails.
_PROBE = """
import json, sys
def report(**facts):
    print("report:", json.dumps(facts), flush=True)
import tensorflow as tf
report(TensorFlow=tf.__version__)
import keras, numpy
report(Keras=keras.__version__, NumPy=numpy.__version__)
gpus, details = tf.config.list_physical_devices("GPU"), tf.config.experimental.get_device_details
report(GPUs=[details(gpu).get("device_name", gpu.name) for gpu in gpus])
if "Horovod" in sys.argv:
    import horovod.tensorflow as hvd
    names = ("MPI", "Gloo", "NCCL")
    report(Horovod=[name for name in names if getattr(hvd, name.lower() + "_built")()])
"""

# What each of two ranks runs: the start of a training, and one sum.
_RANK = """
import json
from tfsci.startup import import_tensorflow
tf = import_tensorflow()
from tfsci.distributed.strategy import choose
strategy = choose("horovod")
total = float(strategy.sum([strategy.rank + 1])[0])
import horovod.tensorflow as hvd
nccl = hvd.nccl_built() and tf.config.get_visible_devices("GPU")
transport = "NCCL" if nccl else "MPI" if hvd.mpi_enabled() else "Gloo"
print("report:", json.dumps({"sum": total, "transport": transport}), flush=True)
"""


@dataclass(frozen=True)
class Finding:
    """A line of the screen.

    Attributes:
        status: ``"ok"``, ``"missing"``, ``"slow"`` (works, but slower than it could),
            ``"problem"`` (is there and does not work), ``"skipped"`` or ``"running"``.
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


def check_cores(
    launch: Launch, usable: Collection[int], node_cores: int, quota: float | None
) -> Finding:
    """Cores, and the threads that ranks get.

    Args:
        launch: This process's place in the job.
        usable: Cores this process may run on.
        node_cores: Number of cores of the node.
        quota: So many cores' time the cgroup grants; None where it sets no limit.
    """
    if launch.world_size > 1:
        threads = f"threads: {len(cores_of_rank(launch, usable))} for this rank"
    else:
        launches = [Launch("horovodrun", 0, n, 0, n) for n in (1, 2)]
        one, two = (len(cores_of_rank(each, usable)) for each in launches)
        threads = f"threads: {one} for 1 rank, {two} each for 2 ranks"
    text = f"{len(usable)} of {node_cores} may be used, {threads}"
    if quota is None or quota >= len(usable):
        return Finding("ok", "cores", text)
    text += f"; but a cgroup grants the time of {quota:g}, so threads wait for each other"
    fitting = ",".join(map(str, sorted(usable)[: max(1, int(quota))]))
    return Finding("slow", "cores", text, f"put 'taskset -c {fitting}' before each command")


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
        "skipped": "; Horovod was not tried.",
        "problem": ", but not with Horovod.",
    }[last.status]
    problems = [each.name for each in findings if each.status == "problem"]
    mend = f" To mend: {', '.join(problems)}." if problems else ""
    return f"This machine can train in one process{words}{mend}", int(bool(problems))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{number} x {name}" for name, number in Counter(names).items())


def examine(environ: Mapping[str, str], launch: Launch, timeout: float = 60) -> Iterator[Finding]:
    """Yields each finding as soon as it is known, and what is running meanwhile.

    Args:
        environ: The environment.
        launch: This process's place in the job.
        timeout: Seconds for the two ranks; more where TensorFlow loads slowly.
    """
    yield Finding("ok", "Python", f"{platform.python_version()} in {sys.prefix}")
    yield Finding("ok", "tfsci", f"{__version__} in {Path(__file__).parent}")
    ranks = f"{launch.world_size} rank(s) on {launch.num_nodes} node(s)"
    alone = launch.launcher == "none"
    yield Finding("ok", "launcher", "none" if alone else f"{launch.launcher}, {ranks}")
    yield check_cores(launch, os.sched_getaffinity(0), os.cpu_count(), cpu_quota())
    yield check_memory(*memory())
    yield check_backend(environ)

    yield Finding("running", "TensorFlow", "is loading")
    horovod = next(iter(importlib.metadata.distributions(name="horovod")), None)
    quiet = {**environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "1"}
    command = [sys.executable, "-W", "ignore", "-c", _PROBE, *["Horovod"] * bool(horovod)]
    probe = run(command, 300, quiet)
    facts = {name: fact for report in probe.reports for name, fact in report.items()}
    for name in ("TensorFlow", "Keras", "NumPy"):
        yield check_package(name, facts.get(name), probe.error)
        if name not in facts:
            return
    gpus = facts.get("GPUs", [])
    yield check_gpus(machine_gpus(environ), gpus, environ, probe.log)

    version, built = horovod and horovod.version, facts.get("Horovod", [])
    yield check_horovod(version, built, probe.error, len(gpus))
    if not built:
        return
    scripts = [each for each in horovod.files or () if each.name == "horovodrun"]
    own = Path(scripts[0].locate() if scripts else f"{sys.prefix}/bin/horovodrun").resolve()
    on_path = shutil.which("horovodrun", path=environ.get("PATH"))
    yield check_horovodrun(on_path and Path(on_path), own)
    if launch.world_size > 1:
        yield Finding("skipped", "all-reduce", f"under {launch.launcher}; it has its own ranks")
        return
    yield Finding("running", "all-reduce", "2 ranks start and add")
    if len(gpus) < 2:
        quiet["CUDA_VISIBLE_DEVICES"] = quiet["HIP_VISIBLE_DEVICES"] = "-1"
    command = [own, "-np", "2", "-H", "localhost:2", sys.executable, "-W", "ignore", "-c", _RANK]
    yield check_all_reduce(run(command, max(timeout, 5 * probe.seconds), quiet))


def _show(finding: Finding, width: int | None) -> None:
    """Prints the lines of a finding; what is running only where the next line can replace it."""
    lines = [(finding.status, finding.name, finding.text)]
    if finding.next_step:
        lines.append(("", "next step", finding.next_step))
    for status, name, text in lines:
        line = f"{status:9}{name:12}{' '.join(text.split())[:300]}"
        if finding.status == "running":
            print(line[: width - 1] + "\r" if width else "", end="", flush=True)
            continue
        indent = " " * (21 if (width or 80) > 50 else 4)
        wrap = textwrap.TextWrapper(width or 10_000, subsequent_indent=indent)
        wrap.break_long_words = wrap.break_on_hyphens = False
        print("\x1b[K" * bool(width) + wrap.fill(line), flush=True)


def main(argv: Sequence[str]) -> int:
    """Runs `tfsci doctor`; returns 1 where this machine can't train or something is broken."""
    about = "Says whether this machine can train, and the next step for what is missing."
    ends = "Ends with exit code 0 if it can and nothing that is installed is broken, 1 otherwise."
    Parser("tfsci doctor", description=about, epilog=ends).parse_args(argv)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # lets `run` end what it started
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    launch = detect()
    if launch.rank > 0:
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    findings = []
    for finding in examine(os.environ, launch):
        findings.append(finding)
        _show(finding, width)
    text, code = conclude(findings)
    print(f"\n{textwrap.fill(text, width or 10_000, break_on_hyphens=False)}")
    return code
