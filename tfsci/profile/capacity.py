"""A small model of the pipeline: how long a step takes.

A stage with threads of its own works ahead of what it feeds; the stages before it, down to the
next such stage, run in its thread one after the other. So the pipeline is a chain of *sections*
that work at the same time, and delivers at the rate of the slowest:

    section = serial time of its thread  and  function time / workers, whichever is longer
    step    = max(sections, consumer)                     where the last stage works ahead,
              max(other sections, last section + consumer)  where it does not,

and no step takes less than the CPU time that its work needs over the cores. The consumer is what a
step takes without its wait for input where nothing disturbs it; where the model computes on cores
that the pipeline takes a part of, less of a pipeline makes it faster. The functions of all stages
share one pool of threads.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from tfsci.profile.pipeline import Stage
from tfsci.profile.reading import Host
from tfsci.profile.sharing import Shared

# Why a stage is slow.
CAUSES = {
    "shuffle": "it fills its buffer",
    "unprefetched": "nothing is prepared while the model computes",
    "waits": "it waits, for a disk, a network or a clock, rather than computes",
    "python": "it holds Python's lock, so that it can work on one element at a time",
    "overhead": "to call it costs more than what it does",
    "computes": "it computes",
}

# A shuffle that takes so large a share of its elements in a tenth of the steps fills its buffer.
_FILLS_ABOVE = 0.5
# Python that holds its lock for more than this share of its time is not worth a second thread.
_LOCKED_ABOVE = 0.5
# So many cheap elements a step are better worked on together.
_MANY, _TINY_SECONDS = 16, 50e-6
# A pipeline that needs less than this share of the model's time is slow only for being serial.
_MUCH = 0.9

# Of the steps' own times, the one that nothing has disturbed.
_UNDISTURBED = 0.1

# A process that uses this share of its cores has none to spare; what the pipeline may take of that.
_BUSY, _MUCH_OF_CPU = 0.9, 0.25

# How far off the CPU time of a stage may be: what it gains to leave it out is a bound.
_SHARE_ERROR = 0.2

# A stage that uses less CPU time than this share of its time waits for something else.
_WAITS_BELOW = 0.25
# The same of one that reads files, by the CPU time of all threads: some look for work in vain.
_READS_BELOW = 0.6


@dataclass(frozen=True)
class Model:
    """The pipeline and what consumes it.

    Attributes:
        stages: From the source on.
        consumer: Seconds of a step without its wait for input.
        pool_threads: Threads that run the pipeline's functions; None where not known.
        cores: CPU cores; None where not known.
        traced_step: Seconds of a step in the trace; None where not known.
        shared: How model and pipeline share the cores; None where that is not known.
        pipeline_ready_seconds: At most so long the pipeline's work for a step ran or was ready to.
        lock_share: Share of the time in which Python's lock was taken; None where not known.
        python_cpu_share: CPU time of Python functions as a share of their time; None where not
            known.
        core_wait_ratio: Time that threads waited for a core over the CPU time that they got.
    """

    stages: tuple[Stage, ...]
    consumer: float
    pool_threads: int | None = None
    cores: int | None = None
    traced_step: float | None = None
    shared: Shared | None = None
    pipeline_ready_seconds: float | None = None
    lock_share: float | None = None
    python_cpu_share: float | None = None
    core_wait_ratio: float = 0.0

    @classmethod
    def of(cls, host: Host) -> "Model":
        """Returns the model of a traced process that has steps."""
        # Steps that something else has held up say nothing of the next; nor does what a step takes
        # longer because it starts on a core that has fallen asleep while it waited.
        own = np.subtract(host.seconds, host.breakdown.waits)
        consumer = max(float(np.quantile(own, _UNDISTURBED)), 1e-9)
        model = cls(
            stages=host.stages,
            consumer=consumer,
            traced_step=host.step_seconds,
            pool_threads=host.pool_threads,
            cores=host.cores,
            pipeline_ready_seconds=host.pipeline_ready_seconds_per_step,
            lock_share=host.lock_share,
            python_cpu_share=host.python_cpu_share,
            core_wait_ratio=host.core_wait_ratio or 0.0,
        )
        return model.replace(shared=Shared.of(host, consumer, model.pipeline_cpu()))

    @property
    def works_ahead(self) -> bool:
        """Whether the last stage prepares batches while the training computes."""
        return bool(self.stages) and self.stages[-1].own_thread

    @property
    def out_of_cores(self) -> bool:
        """Whether the process has used all of its cores, and the pipeline a good part of them."""
        busy = self._floor() > _BUSY * self.consumer
        return bool(busy and self.pipeline_cpu() > _MUCH_OF_CPU * self._cpu_seconds())

    def cpu_share(self, stage: Stage) -> float:
        """Returns the part of the CPU time of a step that a stage takes."""
        return self.cpu(stage) / self._cpu_seconds()

    def pipeline_cpu(self) -> float:
        """Returns the CPU time that the pipeline takes for a step."""
        return sum(map(self.cpu, self.stages))

    def cpu(self, stage: Stage) -> float:
        """Returns the CPU time that a stage takes for a step."""
        return _seconds(stage) * self.computing(stage)

    def computing(self, stage: Stage) -> float:
        """Returns the share of a stage's time that is CPU time, if anything more than there is."""
        if self.waits(stage):
            return 0.0
        share = self.python_cpu_share if stage.runs_python else None
        if share is None:  # like the process' threads on the mean
            share = 1 / (1 + self.core_wait_ratio)
        return min(share + _SHARE_ERROR, 1.0)

    def sections(self) -> dict[int, float]:
        """Returns the seconds per step of each section by the index of its last stage."""
        serial: dict[int, float] = {}
        by_index = {stage.index: stage for stage in self.stages}
        for stage in self.stages:
            owner = self._owner(stage)
            inputs = self._inputs(stage)
            alone = _seconds(stage) / self.workers(stage)
            if not inputs and by_index[owner].kind.startswith("ParallelInterleave"):
                alone /= by_index[owner].parallelism  # its inputs are read side by side
            serial[owner] = serial.get(owner, 0.0) + (0.0 if inputs else alone)
            if inputs:
                serial[owner] = max(serial[owner], alone)
        return serial

    def input_seconds(self) -> float:
        """Returns the time that the pipeline needs for the input of a step."""
        return max([*self.sections().values(), self._pool_seconds()])

    def step_seconds(self) -> float:
        """Returns the time of a step."""
        sections = self.sections()
        last = 0.0 if self.works_ahead else sections.pop(self._last(), 0.0)
        if self.traced_step and any(stage.filling > _FILLS_ABOVE for stage in self.stages):
            return self.traced_step  # as long as that goes on, and nothing else is the limit
        own = last + self._own_seconds()
        return max([*sections.values(), self._pool_seconds(), own, self._floor()])

    def slowest(self) -> Stage | None:
        """Returns the stage that takes most of the slowest section."""
        sections = self.sections()
        if not sections:
            return None
        section = max(sections, key=sections.get)
        mine = [stage for stage in self.stages if self._owner(stage) == section]
        slowest = max(mine, key=lambda stage: _seconds(stage) / self.workers(stage))
        filling = (s for s in self.stages if s.filling > _FILLS_ABOVE)
        return next((s for s in filling if slowest.path.startswith(s.path)), slowest)

    def limit(self) -> str:
        """Returns what limits the step, in words."""
        slowest, step = self.slowest(), self.step_seconds()
        if step <= self._floor():
            return "the CPU: all its cores are busy"
        if slowest is None or self.input_seconds() < self._own_seconds():
            return "the model's step"
        return slowest.name

    def workers(self, stage: Stage) -> int:
        """Returns how many elements the stage really works on at once."""
        if not stage.own_thread or stage.kind.startswith("Prefetch"):
            return 1
        return max(1, min(stage.parallelism, self.pool_threads or stage.parallelism))

    def waits(self, stage: Stage) -> bool:
        """Whether the stage mostly waits (for files, a network, a clock) and needs no CPU."""
        if stage.runs_python:
            share = self.python_cpu_share
            return share is not None and share < _WAITS_BELOW and not self._locked(stage)
        used = self.pipeline_ready_seconds
        may = stage.reads_files and used is not None
        return may and used < _READS_BELOW * stage.seconds_per_step

    def holds_lock(self, stage: Stage) -> bool:
        """Whether the stage runs Python that lets nothing else run Python meanwhile.

        NumPy, Pillow and the like let go of the lock while they compute.
        """
        return stage.runs_python and not self.waits(stage) and self._locked(stage)

    def _locked(self, stage: Stage) -> bool:
        """Whether Python's lock was taken about as long as the stage works."""
        step = self.traced_step or stage.seconds_per_step
        busy = min(stage.seconds_per_step / self.workers(stage) / step, 1.0)
        return self.lock_share is None or self.lock_share > _LOCKED_ABOVE * busy

    def cause(self, stage: Stage) -> str:
        """Returns why the stage is slow, one of `CAUSES`."""
        if stage.filling > _FILLS_ABOVE:
            return "shuffle"
        if not self.works_ahead and self.input_seconds() < _MUCH * self.consumer:
            return "unprefetched"
        if self.waits(stage):
            return "waits"
        if self.holds_lock(stage):
            return "python"
        if stage.elements_per_step >= _MANY and stage.self_seconds < _TINY_SECONDS:
            return "overhead"
        return "computes"

    def filled(self, shuffle: Stage) -> "Model":
        """Returns the model where the buffer of a shuffle is full before the steps begin."""
        return self.replace(shuffle, filling=0.0)

    def without(self, *stages: Stage) -> "Model":
        """Returns the model where these stages have no work left, nor use the CPU for it."""
        model = self
        for stage in stages:
            model = model.replace(stage, self_seconds=0.0)
        return model

    def replace(self, stage: Stage | None = None, **values: object) -> "Model":
        """Returns the model with other values for a stage, or for itself without one."""
        if stage is None:
            return dataclasses.replace(self, **values)
        stages = tuple(
            dataclasses.replace(s, **values) if s.index == stage.index else s for s in self.stages
        )
        return dataclasses.replace(self, stages=stages)

    def _pool_seconds(self) -> float:
        """Returns the time that the pool's threads need for a step's functions."""
        work = sum(_seconds(stage) for stage in self.stages if is_map(stage))
        return work / self.pool_threads if self.pool_threads else 0.0

    def _own_seconds(self) -> float:
        """Returns what a step takes without its wait for input, by what the pipeline computes."""
        if not self.shared or not self.shared.pipeline_seconds:
            return self.consumer
        gone = max(1 - self.pipeline_cpu() / self.shared.pipeline_seconds, 0.0)
        return max(self.consumer - gone * self.shared.lost_seconds, 1e-9)

    def _floor(self) -> float:
        """Returns the time of a step if nothing but CPU time is short."""
        return self._cpu_seconds() / self.shared.cores if self.shared else 0.0

    def _cpu_seconds(self) -> float:
        return self.shared.model_seconds + self.pipeline_cpu() if self.shared else 0.0

    def _last(self) -> int:
        return self.stages[-1].index if self.stages else 0

    def _owner(self, stage: Stage) -> int:
        """Returns the index of the stage in whose thread this one runs."""
        by_index = {s.index: s for s in self.stages}
        while not stage.own_thread and stage.parent in by_index:
            stage = by_index[stage.parent]
        return stage.index

    def _inputs(self, stage: Stage) -> bool:
        """Whether its work is done apart from the thread that feeds it: by a pool of workers."""
        return stage.own_thread and not stage.kind.startswith("Prefetch")


def _seconds(stage: Stage) -> float:
    """Returns the time that a stage's elements for a step take of it, one after the other.

    What it works on in the pauses between steps, a validation's, takes none.
    """
    return stage.seconds_per_step * stage.in_steps


def is_map(stage: Stage) -> bool:
    """Whether the pool of threads runs a function for each of its elements."""
    return stage.kind.startswith(("Map", "ParallelMap"))
