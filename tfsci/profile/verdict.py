"""A trace → what limits the training, and what to change."""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tfsci.profile import text
from tfsci.profile.capacity import Model
from tfsci.profile.changes import Change, changes
from tfsci.profile.pipeline import Stage
from tfsci.profile.reading import Host, Trace, load

# Fewer steps than this say too little.
_FEWEST = 3
# A step that waits longer than this share of it is input-bound. A pipeline that works ahead and
# is a tenth slower than the model makes it wait 9 %.
_WAITING = 0.12
# A pipeline this close to what the model needs is balanced with it.
_BALANCED = 0.87
# A rank this much slower than the others holds them back, where they don't wait for each other.
_STRAGGLES = 1.2

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
        changes: What to change, at most three, the largest gain first.
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
    changes: tuple[Change, ...]
    text: str

    def as_json(self) -> dict[str, object]:
        """Returns it as what JSON can hold; what is not known is None."""
        found = asdict(self)
        if math.isnan(self.step_seconds):
            found["step_seconds"] = None
        return found

    def write_json(self, path: str | Path) -> None:
        """Writes `as_json`, whole or not at all."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n")
        os.replace(temporary, path)


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
    host = max(known, key=_own_seconds)
    model = Model.of(host)
    parts = host.breakdown.parts
    share = parts["input"] / host.step_seconds
    verdict = _verdict(host, model, share)
    stage = model.slowest()
    if verdict in ("input-bound", "balanced"):
        found = changes(model)
    else:
        found = _other_changes(verdict, host)
    answer = _answer(verdict, host, model, stage, share)
    if len(trace.hosts) > 1:
        answer += _among_ranks(host, known)
    return Report(
        verdict=verdict,
        answer=answer,
        input_share=share,
        steps=host.steps,
        step_seconds=host.step_seconds,
        breakdown=parts,
        stages=host.stages,
        stage=stage,
        changes=found,
        text=text.write(answer, host, model, stage, found),
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
        "unknown", answer, share, host.steps, host.step_seconds, parts, host.stages, None, (),
        answer,
    )  # fmt: skip


def _verdict(host: Host, model: Model, share: float) -> str:
    parts = host.breakdown.parts
    other = {name: seconds for name, seconds in parts.items() if name != "input"}
    largest = max(other, key=other.get)
    if largest == "compile" and other["compile"] > parts["input"]:
        return _VERDICTS["compile"]
    if share > _WAITING:
        return "input-bound"
    if model.works_ahead and model.input_seconds() > _BALANCED * model.consumer:
        return "balanced"
    host_side = other["dispatch"] + other["python"]
    if largest in ("compute", "dispatch", "python"):
        return _VERDICTS["compute" if other["compute"] >= host_side else "dispatch"]
    return _VERDICTS[largest]


def _answer(verdict: str, host: Host, model: Model, stage: Stage | None, share: float) -> str:
    parts, step = host.breakdown.parts, host.step_seconds
    title = verdict.capitalize()
    if verdict == "input-bound":
        if stage is None:
            return f"{title}: {_percent(share)} of each step waits for the input pipeline"
        workers = model.workers(stage)
        how_many = f"{workers} element{'s' if workers > 1 else ''} at a time"
        return (
            f"{title}: {_percent(share)} of each step waits for {stage.name}, stage {stage.index} "
            f"of {len(host.stages)}, which runs {how_many} at {text.duration(stage.self_seconds)}"
        )
    if verdict == "balanced":
        return f"{title}: the input pipeline is about as fast as the model needs"
    if verdict == "dispatch-bound":
        spent = _percent((parts["dispatch"] + parts["python"]) / step)
        return f"{title}: {spent} of each step is spent in Python and in starting operations"
    if verdict == "compile-bound":
        names = ", ".join(host.compiled[:3]) or "a function"
        return (
            f"{title}: {_percent(parts['compile'] / step)} of the time traces or compiles {names}"
        )
    part = verdict.removesuffix("-bound")
    what = {
        "compute": "computes",
        "communication": "waits for the all-reduce",
        "copy": "copies between host and device",
    }[part]
    return f"{title}: {_percent(parts[part] / step)} of each step {what}"


def _other_changes(verdict: str, host: Host) -> tuple[Change, ...]:
    parts, step = host.breakdown.parts, host.step_seconds
    if verdict == "dispatch-bound":
        # Ten steps in a call share what a call costs; the operations' own share remains.
        saved = 0.9 * parts["python"] + 0.5 * parts["dispatch"]
        what, where = "run several steps in a call", "model.compile(..., steps_per_execution=10)"
    elif verdict == "compile-bound":
        saved = parts["compile"]
        what = "give the function inputs of one shape and type"
        where = "dataset.batch(batch_size, drop_remainder=True), tensors instead of Python numbers"
    elif verdict == "communication-bound":
        saved = parts["communication"] / 2
        what = "send gradients in 16 bits, or fewer of them: larger batches"
        where = "hvd.DistributedOptimizer(..., compression=hvd.Compression.fp16)"
    else:
        return ()
    return (Change(what, where, step / (step - saved), "the model's step"),)


def _own_seconds(host: Host) -> float:
    """Returns the time of a step without the wait for other ranks."""
    return host.step_seconds - host.breakdown.parts["communication"]


def _among_ranks(host: Host, hosts: list[Host]) -> str:
    others = sorted((other for other in hosts if other is not host), key=_own_seconds)
    if not others:
        return ""
    usual = others[len(others) // 2]
    if _own_seconds(host) > _STRAGGLES * _own_seconds(usual):
        mine, theirs = host.breakdown.parts, usual.breakdown.parts
        where = max(mine.keys() - {"communication"}, key=lambda part: mine[part] - theirs[part])
        return (
            f"; {host.name} holds back the others: {text.duration(_own_seconds(host))} a step "
            f"without the all-reduce, they {text.duration(_own_seconds(usual))}; "
            f"most of it is {text.WORDS[where]}"
        )
    return f"; the slowest of {len(hosts)} ranks is {host.name}"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
