"""This machine: as `tfsci profile roofline` has measured it, else measured in a blink."""

import json
import math
import os
import time

import numpy as np

from tfsci import cache
from tfsci.plan.machines import Device, Link, Machine


def machine() -> Machine:
    """Returns this computer's cores, or its GPU, as one device."""
    flops, bandwidth, how = _recorded() or _measured()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    device = Device(
        "this computer", flops / 1e12, flops / 1e12, memory, bandwidth / 1e9, None,
        efficiency=1.0,
        fitted=f"measured: {how}",
        source="measured here",
        overhead=0.0,
    )  # fmt: skip
    return Machine("local", "this computer", device, (Link(None, 1.0, 50.0),), 1, "Gbit Ethernet")


def _recorded() -> tuple[float, float, str] | None:
    """Returns operations and bytes a second that are kept; None where nothing usable is."""
    try:
        found = json.loads((cache.folder() / cache.MACHINE).read_text())
        rates = [float(found[key]) for key in _KEYS]
        how = f"tfsci profile roofline, {int(found['threads'])} threads, {found['precision']!s:.20}"
    except (OSError, ValueError, TypeError, KeyError):
        return None
    good = found.get("device") == "CPU" and all(math.isfinite(x) and x > 0 for x in rates)
    return (*rates, how) if good else None


_KEYS = ("matrix_flops_per_second", "memory_bytes_per_second")


def _measured() -> tuple[float, float, str]:
    edge = 1024
    a = np.ones((edge, edge), np.float32)
    a @ a
    flops = 2 * edge**3 / _best(lambda: a @ a)
    source, target = np.ones(2**24, np.float32), np.empty(2**24, np.float32)
    bandwidth = 2 * source.nbytes / _best(lambda: np.copyto(target, source))
    how = f"a product of {edge} × {edge} matrices and a copy of 64 MiB in NumPy"
    return flops, bandwidth, how


def _best(work) -> float:
    """Returns the seconds of the fastest of three calls."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
