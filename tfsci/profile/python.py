"""What Python functions in a pipeline do with their time, by looking now and then.

A trace tells that a function of a stage ran for so long, not whether it computed in Python, where
its lock lets one thread at a time; in NumPy or Pillow, which let go of the lock; or waited, for a
disk or a network.
"""

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

# Between two looks: a thousandth of a core's time.
_PERIOD = 0.02
# A thread that has slept is back within this, if nobody holds the lock.
_AT_ONCE = 3e-4


@dataclass(frozen=True)
class PythonUse:
    """What was seen.

    Attributes:
        lock_share: Share of the looks that found Python's lock taken, 0 to 1.
        cpu_share: CPU time of threads in functions called by TensorFlow, as a share of the time
            that they were there; None where there were none.
    """

    lock_share: float
    cpu_share: float | None


class PythonWatch(threading.Thread):
    """Looks what Python does, from `start` to `use`."""

    def __init__(self):
        super().__init__(name="tfsci.profile.python", daemon=True)
        self._done = threading.Event()
        self._looks = self._taken = 0
        self._cpu = self._wall = 0.0

    def run(self):
        """Looks, until asked for the use."""
        before, threads = (time.perf_counter(), _without_core()), {}
        while not self._done.is_set():
            time.sleep(_PERIOD)
            now = time.perf_counter(), _without_core()
            # What it waited for a core it did not wait for the lock.
            late = now[0] - before[0] - _PERIOD - (now[1] - before[1])
            self._looks += 1
            self._taken += late > _AT_ONCE
            last, threads = threads, _called()
            for ident in threads.keys() & last.keys():
                self._wall += threads[ident][0] - last[ident][0]
                self._cpu += threads[ident][1] - last[ident][1]
            before = time.perf_counter(), now[1]

    def use(self) -> PythonUse:
        """Ends the watch and returns what it saw."""
        self._done.set()
        self.join()
        share = self._cpu / self._wall if self._wall else None
        return PythonUse(self._taken / max(self._looks, 1), share)


def _called() -> dict[int, tuple[float, float]]:
    """Returns the time and the CPU time of each thread that TensorFlow has called Python in."""
    # Those threads are not Python's own. None can leave Python, and end, before we let it.
    idents = sys._current_frames().keys() - {each.ident for each in threading.enumerate()}
    now = time.perf_counter()
    return {ident: (now, time.clock_gettime(time.pthread_getcpuclockid(ident))) for ident in idents}


def _without_core() -> float:
    """Returns how long this thread was ready to run and had no core, so far."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # a Linux that was built without
        return 0.0
