"""What the process uses of its cores, by the operating system's clocks."""

import contextlib
import glob
import os
import threading
import time
from pathlib import Path


class Usage:
    """What has been used since this was made."""

    def __init__(self):
        self._clocks, self._threads = _clocks(), _threads()

    def since(self) -> dict[str, float]:
        """Returns it.

        Returns:
            ``wall_seconds``; ``cpu_seconds`` of the process and ``worker_seconds`` of its threads
            but the main one; ``busy_seconds`` of its cores, with others' work too; and
            ``core_wait_ratio``, as `core_wait` returns it, where that is known.
        """
        used = {name: max(now - self._clocks[name], 0.0) for name, now in _clocks().items()}
        ratio = core_wait(self._threads, _threads())
        return used if ratio is None else used | {"core_wait_ratio": ratio}


def core_wait(before: dict[int, tuple], after: dict[int, tuple]) -> float | None:
    """Returns the time that threads waited for a core over the CPU time that they got.

    Of those that are left: what the others had is lost with them.

    Args:
        before: Seconds that each thread had run, and was ready to run and could not.
        after: The same, later.

    Returns:
        The ratio, None where none of them ran.
    """
    ran, waited = (
        sum(max(now[i] - before.get(thread, (0.0, 0.0))[i], 0.0) for thread, now in after.items())
        for i in (0, 1)
    )
    return waited / ran if ran else None


def _clocks() -> dict[str, float]:
    cpu = time.process_time()
    main = time.pthread_getcpuclockid(threading.main_thread().ident)
    return {
        "wall_seconds": time.perf_counter(),
        "cpu_seconds": cpu,
        "worker_seconds": cpu - time.clock_gettime(main),
        "busy_seconds": _busy_seconds(),
    }


def _busy_seconds() -> float:
    """Returns how long this process' cores have worked, for it or for others; 0 if not known."""
    ticks = 0
    with contextlib.suppress(OSError, ValueError):
        cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        for line in Path("/proc/stat").read_text().splitlines():
            name, *times = line.split()
            if name in cores:  # user, nice, system; idle and its waits for a disk; interrupts, …
                ticks += sum(map(int, times[:3])) + sum(map(int, times[5:8]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _threads() -> dict[int, tuple[float, float]]:
    """Returns how long each thread has run so far, and was ready to run and could not."""
    found = {}
    for path in glob.glob("/proc/self/task/*/schedstat"):
        # A thread may end meanwhile; Linux may be built without.
        with contextlib.suppress(OSError, ValueError, IndexError):
            ran, waited, _ = Path(path).read_text().split()
            found[int(path.split("/")[-2])] = int(ran) / 1e9, int(waited) / 1e9
    return found
