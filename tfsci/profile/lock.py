"""How much of the time Python's lock is taken, by asking for it now and then.

A thread that asks for the lock while another computes in Python gets it after
`sys.getswitchinterval` at the earliest; else at once. Pillow, NumPy and TensorFlow let go of the
lock while they compute, and nothing in a trace tells such a function from one in plain Python.
"""

import sys
import threading
import time

# Between two looks: a thousandth of a core's time.
_PERIOD = 0.02


class LockWatch(threading.Thread):
    """Looks whether the lock is taken, from `start` to `share`."""

    def __init__(self):
        super().__init__(name="tfsci.profile.lock", daemon=True)
        self._done = threading.Event()
        self._looks = self._taken = 0

    def run(self):
        """Looks, until asked for the share."""
        # A thread that only waits for a core is late by less.
        late = 0.7 * sys.getswitchinterval()
        while not self._done.is_set():
            before = time.perf_counter()
            time.sleep(_PERIOD)
            self._looks += 1
            self._taken += time.perf_counter() - before - _PERIOD > late

    def share(self) -> float:
        """Ends the watch and returns the share of the looks that found it taken, 0 to 1."""
        self._done.set()
        self.join()
        return self._taken / max(self._looks, 1)
