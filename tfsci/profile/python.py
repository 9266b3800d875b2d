"""What the process and the Python functions in its pipeline use, by looking now and then.

The CPU time of the process goes into the trace, as an event at each look. Besides, a trace tells
that a function of a stage ran for so long, not whether it computed in Python, where its lock lets
one thread at a time; in NumPy or Pillow, which let go of the lock; or waited, for a disk or a
network.
"""

import contextlib
import os
import random
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import BinaryIO

# The event of a look, with the CPU time that the process has used so far.
CPU_EVENT, CPU_STAT = "tfsci.cpu", "used_us"
# Between two looks, which take 1 to 2 % of a core; a fixed time could fall into step with the
# pipeline, and see all of its calls at their end.
_PERIODS = 0.01, 0.03
# How long a thread is then watched. Of a call that ends meanwhile nothing is known, and it is those
# that run that end: the longer, the more seems to wait.
_GLANCE = 0.001
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
        self._chance = random.Random(0)  # the script's own numbers stay as they are

    def run(self):
        """Looks, until asked for the use."""
        with contextlib.ExitStack() as stack:
            try:
                waits = stack.enter_context(open("/proc/thread-self/schedstat", "rb", 0))
            except OSError:  # a Linux that was built without
                waits = None
            while not self._done.is_set():
                self._look(waits)
        _note_cpu()

    def _look(self, waits: BinaryIO | None) -> None:
        _note_cpu()
        period = self._chance.uniform(*_PERIODS)
        without_core, start = _without_core(waits), time.perf_counter()
        time.sleep(period)
        late = time.perf_counter() - start - period
        # What it waited for a core it did not wait for the lock.
        late -= _without_core(waits) - without_core
        self._looks += 1
        self._taken += late > _AT_ONCE
        self._glance()

    def _glance(self) -> None:
        """Adds what threads do within one call of a Python function."""
        calls = _called()
        if not calls:
            return
        time.sleep(_GLANCE)
        for ident, (frame, wall, cpu) in _called().items():
            # A thread may have left, done other work, and come back: that is another frame.
            if ident in calls and frame is calls[ident][0]:
                self._wall += wall - calls[ident][1]
                self._cpu += cpu - calls[ident][2]

    def use(self) -> PythonUse:
        """Ends the watch and returns what it saw."""
        self._done.set()
        self.join()
        share = self._cpu / self._wall if self._wall else None
        return PythonUse(self._taken / max(self._looks, 1), share)


def _note_cpu() -> None:
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        stats = {CPU_STAT: round(time.process_time() * 1e6)}
        with tf.profiler.experimental.Trace(CPU_EVENT, **stats):
            pass


def _called() -> dict[int, tuple[FrameType, float, float]]:
    """Returns the outermost frame, the time and the CPU time of each thread that TensorFlow calls.

    The frame is not another's as long as it is held.
    """
    # Those threads are not Python's own. None can leave Python, and end, before we let it.
    own, found = {each.ident for each in threading.enumerate()}, {}
    for ident, frame in sys._current_frames().items():
        if ident not in own:
            while frame.f_back:
                frame = frame.f_back
            cpu = time.clock_gettime(time.pthread_getcpuclockid(ident))
            found[ident] = frame, time.perf_counter(), cpu
    return found


def _without_core(waits: BinaryIO | None) -> float:
    """Returns how long this thread was ready to run and had no core, so far."""
    return int(os.pread(waits.fileno(), 99, 0).split()[1]) / 1e9 if waits else 0.0
