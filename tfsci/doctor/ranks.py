"""`tfsci doctor` under a launcher: one table of all ranks, and where two get into each other's way.

The ranks meet as for a training, but on the CPU: a job that has too few GPUs, or one that does not
work, is shown and does not end the command.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tfsci import startup
from tfsci.distributed import binding
from tfsci.distributed.conflicts import find_conflicts, named
from tfsci.distributed.cores import as_ranges, cores_of_rank
from tfsci.distributed.devices import MASKS
from tfsci.distributed.launch import Launch
from tfsci.distributed.strategy import choose
from tfsci.doctor.findings import Finding
from tfsci.machine import Outcome, cpu_quota, run

# TensorFlow takes seconds to load, so it is asked only where the driver knows a GPU. The driver is
# asked first: TensorFlow changes nothing about what it says.
_PROBE = """
import json
from tfsci.distributed.gpus import visible_gpus
gpus = visible_gpus()
seen = []
if gpus:
    from tfsci.startup import import_tensorflow
    tf = import_tensorflow()
    seen = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")]
print("report:", json.dumps({"driver": gpus, "seen": seen}), flush=True)
"""


def examine_ranks(launch: Launch, show: Callable[[Finding], None]) -> int:
    """Gathers what each rank computes on; the chief prints it.

    Args:
        launch: This process's place in the job.
        show: Prints a finding.

    Returns:
        The exit code: 1 on the chief where ranks conflict, else 0. Were it 1 on the others too,
        launchers might end the chief before it has printed.

    Raises:
        ValueError: Ranks can't start together, see `strategy.choose`.
        OSError: They did not find each other.
    """
    environ, allowed = dict(os.environ), os.sched_getaffinity(0)
    command = [sys.executable, "-W", "ignore", "-c", _PROBE]
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(run, command, 300, environ)
        for mask in MASKS[1:3]:
            os.environ[mask] = "-1"
        startup.import_tensorflow()
        strategy = choose("auto", launch)
        here = _row(launch, allowed, environ, probe)
    rows = strategy.gather(here)
    if launch.rank > 0:
        return 0
    findings = unseen_gpus(rows)
    for each in find_conflicts(rows):
        status = "note" if each.severity == "note" else "conflict"
        findings.append(Finding(status, each.subject, each.text, each.next_step))
    _print(rows, strategy.describe(), show)
    print()
    for finding in findings:
        show(finding)
    print("\n" * bool(findings) + _conclusion(findings), flush=True)
    return int(any(each.status == "conflict" for each in findings))


def _row(launch: Launch, allowed: set[int], environ: Mapping[str, str], probe: Future) -> dict:
    outcome: Outcome = probe.result()
    facts = outcome.reports[0] if outcome.code == 0 else {"driver": [], "seen": []}
    gpus = facts["seen"]
    if len(facts["driver"]) == len(gpus):
        gpus = facts["driver"]
    else:  # which of the driver's TensorFlow has left out is not known
        gpus = [{"name": name, "pci": None, "uuid": None} for name in gpus]
    cores = cores_of_rank(launch, allowed)
    return {
        **binding.row(launch, cores, gpus, allowed, environ),
        "quota": cpu_quota(),
        "unseen": len(facts["driver"]) - len(gpus),
        "gpu_error": "" if outcome.code == 0 else outcome.error[:200],
    }


def unseen_gpus(rows: Sequence[Mapping]) -> list[Finding]:
    """Returns a finding for GPUs that are there and that TensorFlow does not take."""
    ranks = defaultdict(list)
    for each in rows:
        if each["gpu_error"]:
            ranks[f"it can't be told which they see: {each['gpu_error']}"].append(each)
        elif each["unseen"] > 0:
            told = f"TensorFlow does not see {each['unseen']} GPU(s) that the driver knows"
            ranks[told].append(each)
    step = "see what 'tfsci doctor' says in one process on that host"
    return [
        Finding("conflict", "GPU", f"{named(its)}: {text}", step) for text, its in ranks.items()
    ]


def _print(rows: Sequence[Mapping], strategy: str, show: Callable[[Finding], None]) -> None:
    hosts = len({(each["host"], each["boot"]) for each in rows})
    started = f"{len(rows)} ranks on {hosts} host{'s' * (hosts > 1)}"
    show(Finding("ok", "launcher", f"{rows[0]['launcher']}, {started}"))
    show(Finding("ok", "strategy", f"the ranks met: {strategy}"))
    versions = [f"{name} {version or '-'}" for name, version in rows[0]["versions"].items()]
    show(Finding("ok", "versions", ", ".join(versions)))
    masks = {f"{name}={value}" for each in rows for name, value in each["masks"].items()}
    for mask in sorted(masks):
        name, _, value = mask.partition("=")
        having = [each for each in rows if each["masks"].get(name) == value]
        show(Finding("ok", "mask", f"{mask} on {named(having)}"))
    print("\n" + table(rows), flush=True)


def table(rows: Sequence[Mapping]) -> str:
    """Returns a line for each rank, under a heading."""
    lines = [("rank", "host", "local", "cores", "threads", "NUMA", "GPU")]
    for each in rows:
        gpu = each["gpu"] or {}
        numa = as_ranges(each["numa"]) or "-"
        if gpu.get("numa") is not None:
            numa += f", GPU {gpu['numa']}"
        lines.append((
            str(each["rank"]), each["host"], f"{each['local_rank']} of {each['local_size']}",
            as_ranges(each["cores"]), str(each["threads"]), numa, _gpu(each),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = (0, 4)  # columns that end at the same place
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in numbers else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _gpu(row: Mapping) -> str:
    if row["gpu_refusal"]:
        return "too few"
    if not (gpu := row["gpu"]):
        return "none"
    parts = [f"{gpu['index']}: {gpu['name']}", gpu["pci"], gpu["uuid"] and gpu["uuid"][:8]]
    return " ".join(filter(None, parts))


def _conclusion(findings: Sequence[Finding]) -> str:
    number = sum(each.status == "conflict" for each in findings)
    if not number:
        return "No rank is in another's way."
    return f"{number} conflict{'s' * (number > 1)}: a training would fail, be slow or not as meant."
