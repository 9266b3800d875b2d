"""Processes that tests start, seen from outside."""

import time
from pathlib import Path


def wait_until_ended(pid: int | str, seconds: float = 30) -> None:
    """Waits for a process that is not ours to end: a signal only asks the kernel for that.

    Raises:
        AssertionError: If it still runs after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while _state(pid) not in "ZX":  # ended, though nobody may have asked for its exit code
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def _state(pid):
    try:
        text = Path("/proc", str(pid).strip(), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return text.rpartition(")")[2].split()[0]
