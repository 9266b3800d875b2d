"""Gathers what `tfsci doctor` judges in one process.

TensorFlow and Horovod are loaded in processes of their own, so that a crash in them is a finding
and not the end.
"""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tfsci import __version__
from tfsci.distributed import alone
from tfsci.distributed.launch import Launch
from tfsci.distributed.numa import gpu_nodes, numa_nodes
from tfsci.doctor.findings import (
    Finding,
    check_all_reduce,
    check_backend,
    check_cores,
    check_gpus,
    check_horovod,
    check_horovodrun,
    check_launcher,
    check_memory,
    check_numa,
    check_package,
)
from tfsci.machine import cpu_quota, machine_gpus, memory, run

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


def examine(environ: Mapping[str, str], launch: Launch, timeout: float = 60) -> Iterator[Finding]:
    """Yields each finding as soon as it is known, and what is running meanwhile.

    Args:
        environ: The environment.
        launch: This process's place in a job; it is alone in it.
        timeout: Seconds for the two ranks; more where TensorFlow loads slowly.
    """
    yield Finding("ok", "Python", f"{platform.python_version()} in {sys.prefix}")
    yield Finding("ok", "tfsci", f"{__version__} in {Path(__file__).parents[1]}")
    yield check_launcher(launch, _twins(environ) if launch.launcher == "none" else "")
    usable = os.sched_getaffinity(0)
    yield check_cores(usable, os.cpu_count(), cpu_quota())
    yield check_numa(numa_nodes(), usable, gpu_nodes())
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
    yield Finding("running", "all-reduce", "2 ranks start and add")
    if len(gpus) < 2:
        quiet["CUDA_VISIBLE_DEVICES"] = quiet["HIP_VISIBLE_DEVICES"] = "-1"
    command = [own, "-np", "2", "-H", "localhost:2", sys.executable, "-W", "ignore", "-c", _RANK]
    yield check_all_reduce(run(command, max(timeout, 5 * probe.seconds), quiet))


def _twins(environ: Mapping[str, str]) -> str:
    """What is wrong where a training would not be as alone as it believes."""
    try:
        alone.check(environ, patience=0)
    except ValueError as error:
        return str(error)
    return ""
