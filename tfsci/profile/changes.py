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


@dataclass(frozen=True)
class Change:
    """One thing to change.

    Attributes:
        what: What to do.
        where: The line of code, as it would read.
        predicted_speedup: Steps per second with this change and those listed before it, over
            those of the trace.
        next_bottleneck: What limits the training then.
        qualifier: ``at most`` where what is left out may cost something elsewhere; ``about`` where,
            besides, the model then has cores that it had to share, which may gain it more.
    """

    what: str
    where: str
    predicted_speedup: float
    next_bottleneck: str
    qualifier: str = ""


@dataclass(frozen=True)
class _Candidate:
    model: Model
    what: str
    where: str
    upper_bound: bool = False


def changes(model: Model, most: int = 3) -> tuple[Change, ...]:
    """Returns what to change, the largest gain first, each on top of those before it."""
    now, found, qualifier = model.step_seconds(), [], ""
    if_left_out = "about" if model.out_of_cores else "at most"
    while len(found) < most:
        known = {change.what for change in found}
        candidates = [each for each in _candidates(model) if each.what not in known]
        if not candidates:
            break
        best = min(candidates, key=lambda each: each.model.step_seconds())
        model = best.model
        if best.upper_bound:
            qualifier = if_left_out
        gain = float(now / model.step_seconds())
        found.append(Change(best.what, best.where, gain, model.limit(), qualifier))
    return tuple(found)


def _candidates(model: Model) -> list[_Candidate]:
    """Returns the changes that help, at most one for the slowest stage: the first of the rules."""
    enough = model.step_seconds() / _WORTH
    stage = model.slowest()
    found = (rule(model, stage) for rule in _RULES) if stage else ()
    first = next((each for each in found if each and each.model.step_seconds() < enough), None)
    ahead = _prefetch(model) if model.stages and not model.works_ahead else None
    # Of two that gain as much, the simpler one.
    return [each for each in (ahead, first) if each and each.model.step_seconds() < enough]


def _prefetch(model: Model) -> _Candidate:
    last = model.stages[-1]
    stage = dataclasses.replace(
        last, index=last.index + 1, parent=0, kind="Prefetch", name="Prefetch", self_seconds=0.0,
        own_thread=True, elements_per_step=1.0, buffer=2, parallelism=1,
    )  # fmt: skip
    stages = (*model.stages[:-1], dataclasses.replace(last, parent=stage.index), stage)
    return _Candidate(
        model.replace(stages=stages),
        "prepare the next batch while the model computes",
        "end the pipeline with .prefetch(tf.data.AUTOTUNE)",
    )


def _shuffle_less(model: Model, stage: Stage) -> _Candidate | None:
    if model.cause(stage) != "shuffle":
        return None
    size = f" of {stage.buffer:,}" if stage.buffer else ""
    return _Candidate(
        model.filled(stage),
        f"fill the buffer{size} of {stage.name} with what is quick to make (names of files, "
        "indices), or make it smaller",
        ".shuffle(buffer_size) right after the source, before .map",
    )


def _together(model: Model, stage: Stage) -> _Candidate | None:
    if not is_map(stage) or model.cause(stage) != "overhead":
        return None
    # The operations take as long; what it costs to call them is paid once a batch.
    each = stage.busy_seconds + (stage.self_seconds - stage.busy_seconds) / stage.elements_per_step
    return _Candidate(
        model.replace(stage, self_seconds=each),
        f"apply {stage.name} to a batch, not to {stage.elements_per_step:.0f} elements one by one",
        f".batch(batch_size){_map(stage)}",
    )


def _parallel_map(model: Model, stage: Stage) -> _Candidate | None:
    if not is_map(stage):
        return None
    waits = model.waits(stage)
    # As many as keep up with the model, and one to spare.
    wanted = _MOST_WAITING
    if model.consumer * _MOST_WAITING > stage.seconds_per_step:
        wanted = math.ceil(stage.seconds_per_step / model.consumer) + 1
    threads = model.pool_threads or model.cores or wanted
    calls = min(max(wanted, 2), threads)
    if model.holds_lock(stage):
        calls = 1  # more threads would wait for Python's lock
    kind = _PARALLEL if stage.kind == "Map" else stage.kind
    after = model.replace(stage, kind=kind, own_thread=True, parallelism=calls)
    if waits and threads < min(wanted, _MOST_WAITING):
        calls = min(wanted, _MOST_WAITING)
        pool = calls + sum(model.workers(s) for s in model.stages if is_map(s) and s != stage)
        return _Candidate(
            after.replace(stage, parallelism=calls).replace(pool_threads=pool),
            f"let {stage.name}, which waits rather than computes, work on {calls} elements at once "
            "on more threads than cores",
            f"{_map(stage, f'num_parallel_calls={calls}')} and "
            f"options.threading.private_threadpool_size = {pool}",
        )
    if calls > model.workers(stage):
        return _Candidate(
            after,
            f"let {stage.name} work on {calls} elements at once",
            _map(stage, f"num_parallel_calls={calls}"),
        )
    if stage.kind == "Map":
        return _Candidate(
            after,
            f"let {stage.name} work ahead of the next stage",
            _map(stage, "num_parallel_calls=2"),
        )
    return None


def _in_tensorflow(model: Model, stage: Stage) -> _Candidate | None:
    if is_map(stage) and model.holds_lock(stage):
        return _Candidate(
            model.without(stage),
            f"write the function of {stage.name} in TensorFlow operations, or keep what it "
            "returns; Python runs one element at a time",
            f"{_map(stage)}, or .cache() after it",
            upper_bound=True,
        )
    return None


def _generator(model: Model, stage: Stage) -> _Candidate | None:
    if stage.kind != "Generator":
        return None
    calls = max(model.pool_threads or model.cores or 2, 2)
    return _Candidate(
        model.replace(stage, self_seconds=stage.self_seconds / calls),
        "let the generator yield only what to load, and load it in a parallel map",
        f"tf.data.Dataset.from_generator(...).map(load, num_parallel_calls={calls})",
        upper_bound=True,
    )


def _read_ahead(model: Model, stage: Stage) -> _Candidate | None:
    if not stage.reads_files or is_map(stage) or "Interleave" in stage.path:
        return None
    files = min(max(model.pool_threads or 2, 2), _MOST_WAITING)
    return _Candidate(
        model.replace(stage, self_seconds=stage.self_seconds / files, own_thread=True),
        f"read {files} files at once",
        f"tf.data.{stage.kind}Dataset(files, num_parallel_reads={files})",
        upper_bound=True,
    )


def _prepare(model: Model, stage: Stage) -> _Candidate | None:
    if not stage.kept_by:
        return None
    return _Candidate(
        _kept(model, stage),
        f"do the work of {stage.name} once, before the training",
        stage.kept_by,
        upper_bound=True,
    )


def _kept(model: Model, stage: Stage) -> Model:
    """Returns the model where a stage has nothing to do, nor do those that feed it."""
    return model.without(
        *(s for s in model.stages if s == stage or s.path.startswith(stage.path + "::"))
    )


def _cache(model: Model, stage: Stage) -> _Candidate | None:
    """What comes out of the slow stage is kept, where memory allows."""
    if stage.kind.startswith(("Prefetch", "Shuffle", "MemoryCache", "Batch")):
        return None
    return _Candidate(
        _kept(model, stage),
        f"keep what {stage.name} returns, if it fits into memory (from the second epoch on)",
        f".cache() after {stage.name}, stage {stage.index} of the pipeline",
        upper_bound=True,
    )


_RULES = (
    _shuffle_less, _prepare, _together, _parallel_map, _in_tensorflow, _generator, _read_ahead,
    _cache,
)  # fmt: skip


def _map(stage: Stage, options: str = "") -> str:
    """Returns the call that makes the stage, and where its function is written."""
    function = stage.function if stage.function.isidentifier() else "function"
    place = f" ({stage.place})" if stage.place else ""
    return f".map({function}{', ' if options else ''}{options}){place}"
