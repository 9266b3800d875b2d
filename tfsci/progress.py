"""How far long work is: one changing line on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Shows the share of the work that is done; nothing where it takes under two seconds.

    Args:
        what: What is done, for example ``"Preparing damage"``.
        total: How much there is to do.
        stream: Where to show it; standard error by default.
        clock: Seconds, for tests.
    """

    _QUIET = 2.0  # seconds

    def __init__(
        self,
        what: str,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._what, self._total, self._clock = what, max(1, total), clock
        self._stream = stream or sys.stderr
        self._start, self._shown, self._next = clock(), False, 0

    def update(self, done: int) -> None:
        """Shows that so much is done."""
        seconds = self._clock() - self._start
        if seconds < self._QUIET and not self._shown:
            return
        self._shown = True
        part = min(1.0, done / self._total)
        minutes, rest = divmod(int(seconds), 60)
        bar = "#" * int(25 * part)
        line = f"{self._what} [{bar:25}] {part:4.0%}  {minutes}:{rest:02}"
        if self._stream.isatty():
            print(f"\r{line}", end="", file=self._stream, flush=True)
        elif part >= self._next:
            print(line, file=self._stream, flush=True)
            self._next = min(1, part + 0.25) if part < 1 else 2

    def close(self) -> None:
        """Ends the changing line."""
        if self._shown and self._stream.isatty():
            print(file=self._stream, flush=True)
