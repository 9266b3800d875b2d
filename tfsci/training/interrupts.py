"""What asks a running training to save, or to save and stop: signals and clocks."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tfsci.distributed.echoes import is_echo
from tfsci.distributed.strategy import REQUESTS, Strategy

_SIGNALS = [getattr(signal, name) for name in REQUESTS if hasattr(signal, name)]


class Interrupted(Exception):
    """A training was asked to stop, and has saved all that is needed to go on.

    Attributes:
        reason: The name of a signal, or ``"time limit"``.
        folder: The run folder, on the chief.
    """

    def __init__(self, message: str, reason: str, folder: Path | None = None):
        super().__init__(message)
        self.reason, self.folder = reason, folder


class Interrupts:
    """Within its context the first signal asks to save and stop; the second one stops at once.

    Where another rank has gone nothing can be saved: a signal that came does what it did before.
    It is mostly the launcher's, which ends the ranks that are left.

    Args:
        strategy: Tells all processes, so that they stop after the same step.
        time_limit: Seconds after which to stop.
        save_every: Seconds between checkpoints.
        start: When the time began, by `clock`.
        clock: Returns seconds.
    """

    def __init__(
        self,
        strategy: Strategy,
        time_limit: float | None = None,
        save_every: float | None = None,
        start: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._strategy, self._clock = strategy, clock
        self._start = clock() if start is None else start
        self._time_limit, self._save_every = time_limit, save_every
        self._saved = clock()
        self._came, self._told = set(), set()
        self._earlier = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python takes no other
            self._earlier = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind, error, trace):
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        if error is not None and is_echo(error):
            for name in self._came - {"SIGUSR1"}:
                signal.raise_signal(signal.Signals[name])

    def _note(self, number, frame):
        name = signal.Signals(number).name
        if name in self._came and name != "SIGUSR1":  # which schedulers send more than once
            signal.signal(number, self._earlier[number])
            signal.raise_signal(number)
        self._came.add(name)

    def ask(self) -> None:
        """Passes on what came; every process calls it before each step."""
        wanted = set(self._came)
        if self._strategy.is_chief:  # one clock decides for all
            now = self._clock()
            if self._time_limit is not None and now - self._start >= self._time_limit:
                wanted.add("time limit")
            if self._save_every is not None and now - self._saved >= self._save_every:
                self._saved = now
                self._strategy.ask("save")
        if wanted - self._told:
            self._told |= wanted
            self._strategy.ask(*wanted)

    def saved(self) -> None:
        """Starts the time to the next checkpoint anew."""
        self._saved = self._clock()
