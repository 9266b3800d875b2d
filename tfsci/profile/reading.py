"""A folder of traces → what was measured, host by host."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfsci.profile import breakdown, datasets, intervals, pipeline, signatures, steps, xplane
from tfsci.profile.breakdown import Breakdown
from tfsci.profile.pipeline import Stage
from tfsci.profile.python import CPU_EVENT, CPU_STAT
from tfsci.profile.xplane import Plane

SUFFIX = ".xplane.pb"
# Name of the plane that `tracing` adds.
OWN_PLANE = "/tfsci:process"


@dataclass(frozen=True)
class Host:
    """What the trace of one process holds.

    Attributes:
        name: Name of its file without the ending.
        marker: Name of the events that mark its steps, empty where it has none.
        steps: Number of steps that count.
        step_seconds: Their mean, NaN without any.
        seconds: Each of them.
        breakdown: Where the mean step goes, None without any.
        stages: The pipeline from the source on.
        fetches_per_step: Elements that a step takes from the pipeline.
        pool_threads: Size of the pool that runs the pipeline's functions, where recorded.
        compiled: Functions that were traced or compiled during those steps, each with the last
            signatures that it was traced for, as far as they were recorded.
        cores: CPU cores of the process, where recorded.
        free_cores: Cores that others' work left, on the mean, where recorded.
        operation_threads: Threads that compute one operation, where recorded.
        share: Share of the trace that those steps fill, where its length was recorded.
        cpu_seconds_per_step: CPU time of the whole process during the steps, where recorded.
        core_wait_ratio: Time that threads waited for a core over the CPU time that they got, where
            recorded.
        pipeline_ready_seconds_per_step: At most so long a step's work on the pipeline ran or was
            ready to: threads other than the main one, less the model's operations.
        lock_share: Share of the trace in which Python's lock was taken, where recorded.
        python_cpu_share: CPU time of Python functions that TensorFlow called, as a share of the
            time that they took, where recorded.
        memory: Largest use in bytes by allocator (``GPU_0_bfc``), and of ``process``, its resident
            memory since it began; where recorded.
        devices: Number of GPUs in the trace.
        events: Number of events that were read.
    """

    name: str
    marker: str
    steps: int
    step_seconds: float
    seconds: tuple[float, ...]
    breakdown: Breakdown | None
    stages: tuple[Stage, ...]
    fetches_per_step: float
    pool_threads: int | None
    compiled: dict[str, tuple[str, ...]]
    cores: int | None
    free_cores: float | None
    operation_threads: float | None
    share: float | None
    cpu_seconds_per_step: float | None
    core_wait_ratio: float | None
    pipeline_ready_seconds_per_step: float | None
    lock_share: float | None
    python_cpu_share: float | None
    memory: dict[str, int]
    devices: int
    events: int


@dataclass(frozen=True)
class Trace:
    """One run of the profiler: a file for each process.

    Attributes:
        folder: Where the files are.
        hosts: One for each of them, by name.
    """

    folder: Path
    hosts: tuple[Host, ...]


def load(folder: str | Path) -> Trace:
    """Reads a trace of TensorFlow's profiler.

    Args:
        folder: What was given to `trace`, or to TensorFlow's profiler; also a run folder with a
            ``profile``, or one ``*.xplane.pb``. Of several traces in it the newest is read.

    Raises:
        FileNotFoundError: There is no trace.
        ValueError: A file is not a whole trace.

    Example:
        >>> load("run/profile").hosts[0].step_seconds  # doctest: +SKIP
        0.0213
    """
    files = _files(Path(folder))
    return Trace(files[0].parent, tuple(host(xplane.read(path), path.name) for path in files))


def host(planes: tuple[xplane.Plane, ...], name: str = "host") -> Host:
    """Returns what the planes of one file hold."""
    # A process that has used XLA has a second one, of metadata.
    hosts = [plane for plane in planes if plane.name == "/host:CPU"]
    cpu = max(hosts or planes, key=lambda plane: len(plane.event))
    devices = tuple(plane for plane in planes if plane.name.startswith("/device:"))
    own = next((plane.own for plane in planes if plane.name == OWN_PLANE), {})
    recorded = pipeline.Pipeline(cpu, datasets.parse(own.get("datasets")))
    found = steps.find(cpu, recorded.finished_batches())
    windows = found.windows
    lengths = (windows[:, 1] - windows[:, 0]) / 1e12
    if len(windows):
        fetches = cpu.spans[cpu.where(steps.is_fetch), 0]
        inside = intervals.within(fetches, windows).sum()
        per_step = float(inside / len(windows)) or 1.0
    else:
        per_step = 1.0
    traced = steps.traced_calls(cpu)
    compiled = traced[intervals.within(cpu.spans[traced, 0], windows)]
    known = signatures.parse(own.get("signatures"))
    mean = float(lengths.mean()) if len(windows) else float("nan")
    parts = breakdown.measure(cpu, devices, windows) if len(windows) else None
    ratio = _number(own, "core_wait_ratio")
    ready = _per_step(own, "worker_seconds", mean) if parts else None
    if ready is not None:
        ready *= 1 + (ratio or 0.0)
        ready = max(ready - (0.0 if devices else parts.parts["compute"]), 0.0)
    wall, cores = _number(own, "wall_seconds"), _number(own, "cores")
    share = float(lengths.sum()) / wall if wall else None
    return Host(
        name=name.removesuffix(SUFFIX),
        marker=found.marker,
        steps=len(windows),
        step_seconds=mean,
        seconds=tuple(map(float, lengths)),
        breakdown=parts,
        stages=recorded.stages(windows, per_step),
        fetches_per_step=per_step,
        pool_threads=pipeline.threads(cpu),
        compiled={cpu.names[e]: known.get(cpu.names[e], ()) for e in cpu.event[compiled]},
        cores=int(cores) if cores else None,
        free_cores=_free_cores(own),
        operation_threads=_number(own, "operation_threads"),
        share=share,
        cpu_seconds_per_step=_cpu_seconds(cpu, windows),
        core_wait_ratio=ratio,
        pipeline_ready_seconds_per_step=ready,
        lock_share=_number(own, "lock_share"),
        python_cpu_share=_number(own, "python_cpu_share"),
        memory=_memory(planes, own),
        devices=len(devices),
        events=sum(len(plane.event) for plane in planes),
    )


def _number(own: dict, key: str) -> float | None:
    """Returns a number that `tracing` noted, where there is one that can be."""
    value = own.get(key)
    usable = isinstance(value, float) and math.isfinite(value) and value >= 0
    return value if usable else None


def _memory(planes: tuple[xplane.Plane, ...], own: dict) -> dict[str, int]:
    found = {}
    process = _number(own, "peak_resident_bytes")
    if process:
        found["process"] = int(process)
    for plane in planes:
        for i in plane.where(lambda name: name in ("MemoryAllocation", "MemoryDeallocation")):
            stats = plane.stats.get(i, {})
            peak = stats.get("peak_bytes_in_use")
            if isinstance(peak, int):
                name = str(stats.get("allocator_name", "device"))
                found[name] = max(found.get(name, 0), peak)
    return found


def _cpu_seconds(host: Plane, windows: np.ndarray) -> float | None:
    """Returns the CPU time of the process in the mean step."""
    noted = host.where(lambda name: name == CPU_EVENT)
    times = host.spans[noted, 0]
    used = [host.stats.get(i, {}).get(CPU_STAT) for i in noted]
    if len(used) < 2 or not len(windows) or not all(isinstance(u, int) for u in used):
        return None
    order = np.argsort(times)
    at = np.interp(windows, times[order], np.array(used, float)[order])
    return float((at[:, 1] - at[:, 0]).mean() / 1e6)


def _free_cores(own: dict) -> float | None:
    cores, wall = _number(own, "cores"), _number(own, "wall_seconds")
    if not cores or not wall:
        return None
    cpu, busy = _number(own, "cpu_seconds"), _number(own, "busy_seconds")
    others = max(busy - cpu, 0.0) / wall if busy and cpu else 0.0
    # What the process itself got in the least; Linux counts others' time in ticks of 10 ms.
    return max(cores - others, (cpu or 0.0) / wall, 0.1)


def _per_step(own: dict, key: str, step_seconds: float) -> float | None:
    """Returns a step's part of a time that was noted for the whole trace."""
    wall, seconds = _number(own, "wall_seconds"), _number(own, key)
    return seconds / wall * step_seconds if wall and seconds is not None else None


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder; trace a training into it first")
    for place in (folder, folder / "profile"):
        runs = [path for path in place.glob("plugins/profile/*") if any(path.glob("*" + SUFFIX))]
        if runs:
            newest = max(runs, key=lambda run: max(f.stat().st_mtime for f in run.iterdir()))
            return sorted(newest.glob("*" + SUFFIX))
    files = sorted(folder.glob("*" + SUFFIX))
    if files:
        return files
    raise FileNotFoundError(
        f"{folder}: no trace in it (plugins/profile/RUN/HOST{SUFFIX}); "
        "write one with tfsci.profile.trace or python -m tfsci.profile SCRIPT"
    )
