"""What to change in a pipeline, and what that gains by the model of `capacity`."""

import dataclasses
import math
from dataclasses import dataclass

from tfsci.profile.capacity import Model, is_map
from tfsci.profile.pipeline import Stage

# So many threads may wait (for files, for a network) at once without harm.
_MOST_WAITING = 16

# A change that gains less is not worth its line.
_WORTH = 1.05

# What a sequential `Map` becomes.
_PARALLEL = "ParallelMapV2"

_SOURCES = ("TFRecord", "TextLine", "FixedLengthRecord", "SSTable")


@dataclass(frozen=True)
class Change:
    """One thing to change.

    Attributes:
        what: What to do.
        where: The line of code, as it would read.
        predicted_speedup: Steps per second with this change and those listed before it, over
            those of the trace.
        next_bottleneck: What limits the training then.
    """

    what: str
    where: str
    predicted_speedup: float
    next_bottleneck: str


def changes(model: Model, most: int = 3) -> tuple[Change, ...]:
    """Returns what to change, the largest gain first, each on top of those before it."""
    now, found = model.step_seconds(), []
    while len(found) < most:
        candidates = [c for c in _candidates(model) if c[1] not in {f.what for f in found}]
        if not candidates:
            break
        model, what, where = min(candidates, key=lambda c: c[0].step_seconds())
        found.append(Change(what, where, float(now / model.step_seconds()), model.limit()))
    return tuple(found)


def _candidates(model: Model) -> list[tuple[Model, str, str]]:
    """Returns the changes that help, at most one for the slowest stage: the first of the rules."""
    enough = model.step_seconds() / _WORTH
    stage = model.slowest()
    rules = (_parallel_map, _in_tensorflow, _generator, _read_ahead, _cache) if stage else ()
    found = (rule(model, stage) for rule in rules)
    first = next((c for c in found if c and c[0].step_seconds() < enough), None)
    ahead = _prefetch(model) if model.stages and not model.works_ahead else None
    return [c for c in (first, ahead) if c and c[0].step_seconds() < enough]


def _prefetch(model: Model) -> tuple[Model, str, str]:
    last = model.stages[-1]
    stage = dataclasses.replace(
        last, index=last.index + 1, parent=0, kind="Prefetch", name="Prefetch", self_seconds=0.0,
        own_thread=True, elements_per_step=1.0, buffer=2, parallelism=1,
    )  # fmt: skip
    stages = (*model.stages[:-1], dataclasses.replace(last, parent=stage.index), stage)
    return (
        model.replace(stages=stages),
        "prepare the next batch while the model computes",
        "end the pipeline with .prefetch(tf.data.AUTOTUNE)",
    )


def _parallel_map(model: Model, stage: Stage):
    if not is_map(stage):
        return None
    waits = model.waits(stage)
    # As many as keep up with the model, and one to spare.
    wanted = _MOST_WAITING
    if model.consumer * _MOST_WAITING > stage.seconds_per_step:
        wanted = math.ceil(stage.seconds_per_step / model.consumer) + 1
    threads = model.pool_threads or model.cores or wanted
    calls = min(max(wanted, 2), threads)
    if stage.runs_python and not waits:
        calls = 1  # more threads would wait for Python's lock
    kind = _PARALLEL if stage.kind == "Map" else stage.kind
    after = model.replace(stage, kind=kind, own_thread=True, parallelism=calls)
    if calls > model.workers(stage):
        return (
            after,
            f"let {stage.name} work on {calls} elements at once",
            f".map(function, num_parallel_calls={calls})",
        )
    if waits and threads < min(wanted, _MOST_WAITING):
        calls = min(wanted, _MOST_WAITING)
        pool = calls + sum(model.workers(s) for s in model.stages if is_map(s) and s != stage)
        return (
            after.replace(stage, parallelism=calls).replace(pool_threads=pool),
            f"let {stage.name}, which waits rather than computes, work on {calls} elements at once "
            "on more threads than cores",
            f".map(function, num_parallel_calls={calls}) and "
            f"options.threading.private_threadpool_size = {pool}",
        )
    if stage.kind == "Map":
        return (
            after,
            f"let {stage.name} work ahead of the next stage",
            ".map(function, num_parallel_calls=2)",
        )
    return None


def _in_tensorflow(model: Model, stage: Stage):
    if is_map(stage) and stage.runs_python and not model.waits(stage):
        after = model.replace(stage, self_seconds=0.0)
        return (
            after,
            f"write the function of {stage.name} in TensorFlow operations, or keep what it "
            "returns; Python runs one element at a time (the gain is an upper bound)",
            ".map(function), or .cache() after it",
        )
    return None


def _generator(model: Model, stage: Stage):
    if stage.kind != "Generator":
        return None
    calls = max(model.pool_threads or model.cores or 2, 2)
    after = model.replace(stage, self_seconds=stage.self_seconds / calls)
    return (
        after,
        "let the generator yield only what to load, and load it in a parallel map (the gain is an "
        "upper bound)",
        f"tf.data.Dataset.from_generator(...).map(load, num_parallel_calls={calls})",
    )


def _read_ahead(model: Model, stage: Stage):
    if not stage.kind.startswith(_SOURCES) or "Interleave" in stage.path:
        return None
    files = min(max(model.pool_threads or 2, 2), _MOST_WAITING)
    after = model.replace(stage, self_seconds=stage.self_seconds / files, own_thread=True)
    return (
        after,
        f"read {files} files at once",
        f"tf.data.{stage.kind}Dataset(files, num_parallel_reads={files})",
    )


def _cache(model: Model, stage: Stage):
    """What comes out of the slow stage is kept, where memory allows."""
    if stage.kind.startswith(("Prefetch", "Shuffle", "MemoryCache", "Batch")):
        return None
    after = model
    for other in model.stages:  # nor do those that feed it work any more
        if other == stage or other.path.startswith(stage.path + "::"):
            after = after.replace(other, self_seconds=0.0)
    return (
        after,
        f"keep what {stage.name} returns, if it fits into memory (from the second epoch on)",
        f".cache() after {stage.name}, stage {stage.index} of the pipeline",
    )
