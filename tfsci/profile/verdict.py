"""A trace → what limits the training, and what to change."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from tfsci.profile import text
from tfsci.profile.capacity import CAUSES, Model
from tfsci.profile.changes import Change, changes
from tfsci.profile.pipeline import Stage
from tfsci.profile.ranks import Rank, compare, own_seconds
from tfsci.profile.reading import Host, Trace, load
from tfsci.profile.remedies import remedies
from tfsci.profile.text import duration, percent
from tfsci.training.run_folder import replacing

# Fewer steps than this say too little.
_FEWEST = 3
# A step that waits longer than this share of it is input-bound. A pipeline that works ahead and
# is a tenth slower than the model makes it wait 9 %.
_WAITING = 0.12
# A pipeline this close to what the model needs is balanced with it.
_BALANCED = 0.87
_MOST_CHANGES = 3
# Python in the pipeline that holds the lock for this share of a step holds up the loop, too.
_MOST_OF_STEP = 0.6
# Where more of the time goes by between the steps, the first line says so.
_MOST_PAUSED = 0.5
# Layers that an answer names.
_NAMED_LAYERS = 3

_VERDICTS = {
    "compute": "compute-bound",
    "communication": "communication-bound",
    "copy": "copy-bound",
    "compile": "compile-bound",
    "dispatch": "dispatch-bound",
    "python": "dispatch-bound",
}


@dataclass(frozen=True)
class Report:
    """What a trace says.

    Attributes:
        verdict: ``input-bound``, ``compute-bound``, ``communication-bound``, ``copy-bound``,
            ``compile-bound``, ``dispatch-bound``, ``balanced`` or ``unknown``.
        answer: The same in a sentence.
        input_share: Share of a step that waits for input, 0 to 1.
        steps: Number of steps that it is based on.
        step_seconds: Their mean, NaN without any.
        breakdown: Seconds of the mean step by part; they add up to it.
        stages: The pipeline from the source on.
        stage: The slowest of them, None where there is no pipeline.
        cause: Why that is slow, one of `capacity.CAUSES`; empty where the input is not the limit.
        changes: What to change, at most three, the largest gain first.
        changes_add_up: Whether each gain is with the changes before it, or by itself.
        ranks: Each process beside the others, where there are several.
        text: All of it to read in a terminal.
    """

    verdict: str
    answer: str
    input_share: float
    steps: int
    step_seconds: float
    breakdown: dict[str, float]
    stages: tuple[Stage, ...]
    stage: Stage | None
    cause: str
    changes: tuple[Change, ...]
    changes_add_up: bool
    ranks: tuple[Rank, ...]
    text: str

    def as_json(self) -> dict[str, object]:
        """Returns it as what JSON can hold; what is not known is None."""
        found = asdict(self)
        if math.isnan(self.step_seconds):
            found["step_seconds"] = None
        return found

    def write_json(self, path: str | Path) -> None:
        """Writes `as_json`, whole or not at all."""
        with replacing(Path(path)) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n")


def report(folder: str | Path) -> Report:
    """Reads a trace and says what limits the training.

    Args:
        folder: As `load` takes it.

    Raises:
        FileNotFoundError: There is no trace.
        ValueError: A file is not a whole trace.

    Example:
        >>> print(report("run/profile").text)  # doctest: +SKIP
        Input-bound: 71 % of each step waits for Map(DecodeJpeg), stage 3 of 5, ...
    """
    return judge(load(folder))


def judge(trace: Trace) -> Report:
    """Returns the report of a trace: of its slowest host where it has several."""
    known = [host for host in trace.hosts if host.steps >= _FEWEST]
    if not known:
        return _unknown(max(trace.hosts, key=lambda host: host.steps))
    host = max(known, key=own_seconds)
    among = compare(known) if len(known) > 1 else ()
    model = Model.of(host)
    parts = host.breakdown.parts
    share = parts["input"] / host.step_seconds
    verdict = _verdict(host, model, share)
    stage = model.slowest()
    # Where all cores are busy, what the pipeline takes of them the model lacks.
    fed_too_slowly = verdict in ("input-bound", "balanced") or (
        verdict == "compute-bound" and model.out_of_cores
    )
    found = changes(model) if fed_too_slowly else remedies(verdict, host)
    answer = _answer(verdict, host, model, stage, share) + _among_ranks(host, among)
    if host.breakdown.paused > _MOST_PAUSED:
        answer += f"; but {percent(host.breakdown.paused)} of the time goes by between the steps"
    return Report(
        verdict=verdict,
        answer=answer,
        input_share=share,
        steps=host.steps,
        step_seconds=host.step_seconds,
        breakdown=parts,
        stages=host.stages,
        stage=stage,
        cause=model.cause(stage) if stage and fed_too_slowly else "",
        changes=found[:_MOST_CHANGES],
        changes_add_up=fed_too_slowly,
        ranks=among,
        text=text.write(answer, host, model, stage, found[:_MOST_CHANGES], fed_too_slowly, among),
    )


def _unknown(host: Host) -> Report:
    if not host.marker:
        found = "no training step in the trace; trace a part that trains, or mark the steps "
        found += "with Tracer.step"
    else:
        found = f"{host.steps} whole steps after the warm-up, {_FEWEST} are needed; trace more"
    answer = f"Not enough steps to tell: {found}"
    parts = host.breakdown.parts if host.breakdown else {}
    share = parts["input"] / host.step_seconds if parts else 0.0
    return Report(
        "unknown", answer, share, host.steps, host.step_seconds, parts, host.stages, None, "", (),
        True, (), answer,
    )  # fmt: skip


def _verdict(host: Host, model: Model, share: float) -> str:
    parts = host.breakdown.parts
    other = {name: seconds for name, seconds in parts.items() if name != "input"}
    largest = max(other, key=other.get)
    if largest == "compile" and other["compile"] > parts["input"]:
        return _VERDICTS["compile"]
    slower = model.input_seconds() > model.consumer / _BALANCED and not model.out_of_cores
    if share > _WAITING or (share > _WAITING / 2 and slower) or _starved_of_lock(host, model):
        return "input-bound"
    if model.out_of_cores:
        return "compute-bound"
    if model.works_ahead and model.input_seconds() > _BALANCED * model.consumer:
        return "balanced"
    host_side = other["dispatch"] + other["python"]
    if largest in ("compute", "dispatch", "python"):
        return _VERDICTS["compute" if other["compute"] >= host_side else "dispatch"]
    return _VERDICTS[largest]


def _starved_of_lock(host: Host, model: Model) -> bool:
    """Whether the loop waits for Python's lock, which the input holds, rather than for input."""
    stage, parts, step = model.slowest(), host.breakdown.parts, host.step_seconds
    if stage is None or not model.holds_lock(stage):
        return False
    loop = (parts["python"] + parts["dispatch"]) / step
    return loop > _WAITING and model.input_seconds() > _MOST_OF_STEP * step


def _answer(verdict: str, host: Host, model: Model, stage: Stage | None, share: float) -> str:
    parts, step = host.breakdown.parts, host.step_seconds
    title = verdict.capitalize()
    if verdict == "input-bound":
        if stage is None:
            return f"{title}: {percent(share)} of each step waits for the input pipeline"
        workers = model.workers(stage)
        how_many = f"{workers} element{'s' if workers > 1 else ''} at a time"
        return (
            f"{title}: {percent(share)} of each step waits for {stage.name}, stage {stage.index} "
            f"of {len(host.stages)}, which runs {how_many} at {duration(stage.self_seconds)}; "
            f"{CAUSES[model.cause(stage)]}"
        )
    if verdict == "balanced":
        return f"{title}: the input pipeline is about as fast as the model needs"
    if verdict == "dispatch-bound":
        spent = percent((parts["dispatch"] + parts["python"]) / step)
        return f"{title}: {spent} of each step is spent in Python and in starting operations"
    if verdict == "compile-bound":
        names = ", ".join(list(host.compiled)[:3]) or "a function"
        return f"{title}: {percent(parts['compile'] / step)} of the time traces or compiles {names}"
    part = verdict.removesuffix("-bound")
    what = {
        "compute": "computes",
        "communication": "waits for the all-reduce",
        "copy": "copies between host and device",
    }[part]
    if part == "compute" and stage and model.out_of_cores:
        taken = percent(model.cpu_share(stage))
        return (
            f"{title}: all cores are busy, and {stage.name}, stage {stage.index} of "
            f"{len(host.stages)}, takes {taken} of their time from the model"
        )
    answer = f"{title}: {percent(parts[part] / step)} of each step {what}"
    if part == "compute":
        most = list(host.breakdown.layers.items())[:_NAMED_LAYERS]
        total = sum(host.breakdown.layers.values())
        answer += ", most of it in " * bool(most)
        answer += ", ".join(f"{name} ({percent(seconds / total)})" for name, seconds in most)
    return answer


def _among_ranks(host: Host, ranks: tuple[Rank, ...]) -> str:
    if not ranks:
        return ""
    mine = next(rank for rank in ranks if rank.name == host.name)
    if not mine.slow_part:
        return f"; {len(ranks)} ranks, about as fast as each other"
    others = sorted(rank.own_seconds for rank in ranks if rank is not mine)
    return (
        f"; {host.name} holds back the others: {duration(mine.own_seconds)} a step "
        f"without the all-reduce, they {duration(others[len(others) // 2])}; "
        f"most of it is {text.WORDS[mine.slow_part]}"
    )
