"""Runs a script, ours or not, under the profiler, in this process.

A script doesn't say where its steps are. So short windows are traced, each twice as long as the
one before, until one holds enough steps after the warm-up; the rest of the run is not traced.
Where the script takes a trace of its own, ours give way to it.
"""

import functools
import os
import runpy
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from tfsci.profile import xplane
from tfsci.profile.reading import Host, host
from tfsci.profile.tracing import Tracer, place

# Steps after the warm-up that are enough.
_ENOUGH = 10
# What else is in the window (imports, a warm-up) blurs what the steps used.
_LEAST_SHARE = 0.3
_FIRST_SECONDS, _LONGEST_SECONDS = 2.0, 30.0
_POLL_SECONDS = 0.02


def run(
    script: str, arguments: list[str], folder: Path
) -> tuple[Path | None, BaseException | None]:
    """Runs a script as ``python script arguments`` would, and traces a part of it.

    Args:
        script: Its path.
        arguments: What it is given.
        folder: Where the trace goes; made if missing.

    Returns:
        The trace's file, None where nothing was traced, and what the script raised, `SystemExit`
        included, None where it ended by itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    watch = _Watch(folder)
    watch.start()
    before = sys.argv, sys.path[0]
    sys.argv, sys.path[0] = [script, *arguments], os.path.dirname(os.path.abspath(script))
    raised = None
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException as error:
        raised = error
    finally:
        sys.argv, sys.path[0] = before
        path = watch.finish()
    return path, raised


class _Watch(threading.Thread):
    """Traces windows until one holds enough steps, or the script ends."""

    def __init__(self, folder: Path):
        super().__init__(name="tfsci.profile", daemon=True)
        self._folder, self._done = folder, threading.Event()
        self._temporary = Path(tempfile.mkdtemp(prefix=".windows-", dir=folder))
        self._best: tuple[int, Path] | None = None
        self._window_ends, self._profiler = threading.Event(), threading.Lock()

    def finish(self) -> Path | None:
        """Ends it and returns the best window's file, in its place."""
        self._done.set()
        self._window_ends.set()
        self.join()
        path = None
        if self._best:
            path = place(self._folder)
            os.replace(self._best[1], path)
        shutil.rmtree(self._temporary, ignore_errors=True)
        return path

    def run(self):
        """Traces window after window."""
        while not _loaded("tensorflow") or not _loaded("keras", True):
            if self._done.wait(_POLL_SECONDS):
                return
        self._give_way()
        seconds = _FIRST_SECONDS
        while not self._done.is_set():
            found = self._window(seconds)
            if found and found.steps >= _ENOUGH:
                least = _LEAST_SHARE * (1 - found.breakdown.paused)  # not for want of patience
                if (found.share or 0) > least:
                    return
            # While the script prepares there is nothing to look longer at.
            if found and found.marker:
                seconds = min(2 * seconds, _LONGEST_SECONDS)

    def _give_way(self) -> None:
        """Has a trace that the script starts end the window first: there can be one at a time."""
        from tensorflow.python.profiler import profiler_v2

        original = profiler_v2.start

        @functools.wraps(original)
        def start(*args, **kwargs):
            if threading.current_thread() is self:
                return original(*args, **kwargs)
            self._window_ends.set()
            with self._profiler:
                if not self._done.is_set():
                    self._window_ends.clear()
                return original(*args, **kwargs)

        profiler_v2.start = sys.modules["tensorflow"].profiler.experimental.start = start

    def _window(self, seconds: float) -> Host | None:
        tracer = Tracer(self._temporary)
        with self._profiler:
            try:
                tracer.start()
            except ValueError:  # the script is taking a trace of its own
                path = None
            else:
                self._window_ends.wait(seconds)
                path = tracer.stop()
        if path is None:
            self._done.wait(_POLL_SECONDS)
            return None
        found = host(xplane.read(path))
        # Later windows are further from the warm-up.
        if self._best is None or min(found.steps, _ENOUGH) >= self._best[0]:
            self._best = min(found.steps, _ENOUGH), path
        return found


def _loaded(name: str, absent: bool = False) -> bool:
    """Whether a module has been imported, wholly; `absent` where it has not been begun."""
    module = sys.modules.get(name)
    if module is None:
        return absent
    return not getattr(getattr(module, "__spec__", None), "_initializing", False)
