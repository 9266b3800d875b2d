"""Traces a part of a training, with every rank's trace in one folder.

The folder has the layout that TensorBoard and xprof read: ``plugins/profile/RUN/HOST.xplane.pb``.
A process on its own names RUN by the time; ranks have no common clock, so theirs is
``ranks<world size>_<n>``, n counting the traces that each has written there before.

Besides TensorFlow's planes a file holds one of ours, `reading.OWN_PLANE`: what the process used of
its cores meanwhile (`usage`), which tells a stage that computes from one that waits, as a trace
knows threads by another number than Linux does; what Python functions did (`python`); what the
stages' functions are called (`datasets`), and what functions were traced for (`signatures`).
"""

import contextlib
import os
import re
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfsci.distributed.launch import detect
from tfsci.profile import datasets, signatures, xplane
from tfsci.profile.python import PythonUse, PythonWatch
from tfsci.profile.reading import OWN_PLANE, SUFFIX
from tfsci.profile.usage import Usage
from tfsci.startup import import_tensorflow


@contextlib.contextmanager
def trace(
    folder: str | Path, *, steps: int | None = None, skip: int | None = None
) -> Iterator["Tracer"]:
    """Traces what runs within, or some steps of it.

    Args:
        folder: Where the trace goes; made if missing. All ranks may be given the same.
        steps: Trace so many steps, as counted by `Tracer.step`; without it, all.
        skip: Steps before them, for the warm-up: 3 with `steps`, else 0.

    Yields:
        A `Tracer`, to mark steps where Keras' `fit` does not.

    Raises:
        ValueError: Another trace is being taken, or a number is out of its range.

    Example:
        >>> with trace("run/profile", steps=10) as tracer:  # doctest: +SKIP
        ...     for batch in dataset:
        ...         with tracer.step():
        ...             train_step(batch)
    """
    tracer = Tracer(folder, steps, (3 if steps else 0) if skip is None else skip)
    try:
        if not steps and not tracer.skip:
            tracer.start()
        yield tracer
    finally:
        tracer.stop()


class Tracer:
    """Starts and stops TensorFlow's profiler, and marks the steps.

    Args:
        folder: Where the trace goes.
        steps: Stop after so many; None for no end.
        skip: Start after so many.
    """

    def __init__(self, folder: str | Path, steps: int | None = None, skip: int = 0):
        if (steps is not None and steps < 1) or skip < 0:
            raise ValueError(f"a trace needs steps >= 1 and skip >= 0, got {steps} and {skip}")
        self.folder, self.steps, self.skip = Path(folder), steps, skip
        self.path: Path | None = None
        self._seen = 0
        self._temporary: str | None = None
        self._marker = None

    @property
    def tracing(self) -> bool:
        """Whether a trace is being taken."""
        return self._temporary is not None

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Marks what runs within as one training step, the fetch of its batch included."""
        self.begin_step()
        try:
            yield
        finally:
            self.end_step()

    def begin_step(self) -> None:
        """Marks the start of a step, and starts the trace where it is time."""
        if self._seen == self.skip and self.path is None and not self.tracing:
            self.start()
        if self.tracing:
            tf = _tensorflow()
            self._marker = tf.profiler.experimental.Trace("train", step_num=self._seen, _r=1)
            self._marker.__enter__()

    def end_step(self) -> None:
        """Marks its end, and ends the trace where it is time."""
        if self._marker:
            self._marker.__exit__(None, None, None)
            self._marker = None
        self._seen += 1
        # The start of one more step ends the last, so one more is traced.
        if self.tracing and self.steps and self._seen > self.skip + self.steps:
            self.stop()

    def start(self) -> None:
        """Starts the trace.

        Raises:
            ValueError: Another is being taken.
        """
        tf = _tensorflow()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".trace-", dir=self.folder)
        try:
            tf.profiler.experimental.start(temporary)
        except tf.errors.AlreadyExistsError:
            shutil.rmtree(temporary)
            raise ValueError(
                "another trace is being taken; TensorFlow's profiler takes one at a time"
            ) from None
        self._temporary = temporary
        self._python = PythonWatch()
        self._python.start()
        self._datasets = datasets.held()  # a script that ends within the trace drops them
        self._usage = Usage()

    def stop(self) -> Path | None:
        """Ends the trace and writes it.

        Returns:
            The file, None where no trace was being taken.
        """
        if not self.tracing:
            return None
        tf = _tensorflow()
        temporary, self._temporary = self._temporary, None
        numbers = self._usage.since() | _seen(self._python.use())
        try:
            tf.profiler.experimental.stop()
            written = next(Path(temporary).glob("plugins/profile/*/*" + SUFFIX), None)
            if written is None:
                raise OSError(f"{self.folder}: TensorFlow's profiler wrote no trace")
            with open(written, "ab") as file:
                chains = dict.fromkeys((*datasets.held(), *self._datasets))
                file.write(_own_plane(numbers, chains))
            self.path = place(self.folder)
            os.replace(written, self.path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.path


def rank_and_world_size() -> tuple[int, int]:
    """Returns them as the launcher says; 0 and 1 where nothing does, or can't be understood."""
    try:
        launch = detect()
    except (ValueError, OSError):
        return 0, 1
    return launch.rank, launch.world_size


def _tensorflow():
    # Where it is loaded already nothing needs to be kept quiet.
    return sys.modules.get("tensorflow") or import_tensorflow()


def place(folder: Path) -> Path:
    """Returns where this process' trace goes, in a folder that it makes."""
    rank, world_size = rank_and_world_size()
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "host"
    runs = folder / "plugins" / "profile"
    if world_size > 1:
        names = (f"ranks{world_size}_{n}" for n in range(1, 1_000_000))
        file = f"{host}.rank{rank}{SUFFIX}"
    else:
        now = time.strftime("%Y_%m_%d_%H_%M_%S")
        names = (now + (f".{n}" if n else "") for n in range(1_000_000))
        file = f"{host}{SUFFIX}"
    path = next(runs / name / file for name in names if not (runs / name / file).exists())
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _seen(use: PythonUse) -> dict[str, float]:
    """Returns what was seen of Python, as far as it is known."""
    share = {} if use.cpu_share is None else {"python_cpu_share": use.cpu_share}
    return {"lock_share": use.lock_share} | share


def _own_plane(numbers: dict[str, float], chains: Iterable[datasets.Chain]) -> bytes:
    """Returns a plane to be appended: protobufs one after the other are read as one."""
    space = xplane.messages().XSpace()
    plane = space.planes.add(name=OWN_PLANE)
    cores = float(len(os.sched_getaffinity(0)))
    asked = _tensorflow().config.threading.get_intra_op_parallelism_threads()
    numbers |= {
        "cores": cores,
        "operation_threads": float(asked or cores),
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }
    for key, (name, value) in enumerate(numbers.items(), 1):
        plane.stat_metadata[key].id, plane.stat_metadata[key].name = key, name
        plane.stats.add(metadata_id=key, double_value=value)
    texts = {"datasets": datasets.written(chains), "signatures": signatures.held()}
    for key, (name, text) in enumerate(texts.items(), len(numbers) + 1):
        plane.stat_metadata[key].id, plane.stat_metadata[key].name = key, name
        plane.stats.add(metadata_id=key, str_value=text)
    return space.SerializeToString()
