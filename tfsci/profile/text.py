"""A report in words, for a terminal."""

from tfsci.profile.capacity import Model
from tfsci.profile.changes import Change
from tfsci.profile.pipeline import Stage
from tfsci.profile.reading import Host

# What each part is called in a report.
WORDS = {
    "compile": "tracing, compiling",
    "compute": "the model's operations",
    "communication": "all-reduce, not hidden",
    "copy": "host-device copies",
    "input": "waiting for input",
    "dispatch": "starting operations",
    "python": "Python, the rest",
}
_BAR = 30


def write(
    answer: str, host: Host, model: Model, slowest: Stage | None, changes: tuple[Change, ...]
) -> str:
    """Returns the answer, where a step goes, the pipeline, and what to change."""
    step = host.step_seconds
    lines = [answer, "", f"A step takes {duration(step)} (mean of {host.steps}):"]
    for part, seconds in host.breakdown.parts.items():
        if seconds >= 0.0005 * step:
            share = seconds / step
            bar = "█" * round(share * _BAR)
            lines.append(f"  {WORDS[part]:<24}{duration(seconds):>10} {share:6.1%}  {bar}")
    if host.stages:
        rate = f"{1 / model.consumer:.3g}"
        lines += [
            "",
            f"The pipeline, in steps/s that each stage could feed (the model takes {rate}):",
        ]
        lines += [_stage(stage, model, stage == slowest) for stage in host.stages]
    if changes:
        lines += ["", "What to change, each on top of the one before:"]
        for number, change in enumerate(changes, 1):
            lines += [
                f"  {number}. {clean(change.what)}: {clean(change.where)}",
                f"     predicted: {change.predicted_speedup / step:.3g} steps/s, "
                f"{change.predicted_speedup:.2f} times as fast; "
                f"then the limit is {clean(change.next_bottleneck)}",
            ]
    return "\n".join(map(clean, lines))


def duration(seconds: float) -> str:
    """Returns a duration with a unit that suits it: ``2.1 ms``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def clean(text: str) -> str:
    """Returns text from a trace without what a terminal would obey, and not too long."""
    shown = "".join(c if c.isprintable() else "�" for c in text)
    return shown if len(shown) <= 300 else shown[:299] + "…"


def _stage(stage: Stage, model: Model, slowest: bool) -> str:
    arrow = "  " if stage.index == 1 else "→ "
    need = stage.seconds_per_step / model.workers(stage)
    rate = f"{1 / need:.3g}/s" if need > 0 else "—"
    workers = model.workers(stage)
    cost = f"{duration(stage.self_seconds)} × {stage.elements_per_step:.3g}"
    if workers > 1:
        cost += f" / {workers}"
    if stage.buffer and stage.buffered is not None:
        cost += f", buffer {stage.buffered} of {stage.buffer}"
    mark = "  ◀ slowest" if slowest else ""
    return f"  {arrow}{stage.index} {clean(stage.name)[:40]:<40} {rate:>10}  ({cost}){mark}"
