"""A report in words, for a terminal."""

from tfsci.profile.capacity import Model
from tfsci.profile.changes import Change
from tfsci.profile.pipeline import Stage
from tfsci.profile.ranks import Rank
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
_PAUSED = 0.05  # share of the time, of pauses that are worth a word


def write(
    answer: str,
    host: Host,
    model: Model,
    slowest: Stage | None,
    changes: tuple[Change, ...],
    together: bool,
    ranks: tuple[Rank, ...] = (),
) -> str:
    """Returns the answer, where a step goes, the pipeline, the ranks, and what to change.

    The changes' gains add up where they are `together`.
    """
    step = host.step_seconds
    lines = [answer, "", f"A step takes {duration(step)} (mean of {host.steps}):"]
    for part, seconds in host.breakdown.parts.items():
        if seconds >= 0.0005 * step:
            share = seconds / step
            bar = "█" * round(share * _BAR)
            lines.append(f"  {WORDS[part]:<24}{duration(seconds):>10} {share:6.1%}  {bar}")
    if aside := pauses(host):
        lines += ["", aside]
    if host.stages:
        rate = f"{1 / model.consumer:.3g}"
        lines += [
            "",
            f"The pipeline, in steps/s that each stage could feed (the model takes {rate}):",
        ]
        lines += [_stage(stage, model, stage == slowest) for stage in host.stages]
    if ranks:
        lines += ["", "A step of each rank, and without the wait for the others:"]
        lines += [_rank(rank, rank.name == host.name) for rank in ranks]
    if host.memory:
        most = ", ".join(f"{name} {size / 2**30:.2f} GiB" for name, size in host.memory.items())
        lines += ["", f"Memory at most: {most}"]
    if changes:
        how = "on top of the one before" if together else "by itself"
        lines += ["", f"What to change, each {how}:"]
        for number, change in enumerate(changes, 1):
            rate = qualified(change, f"{change.predicted_speedup / step:.3g} steps/s")
            lines += [
                f"  {number}. {clean(change.what)}: {clean(change.where)}",
                f"     predicted: {rate}, {change.predicted_speedup:.2f} times as fast; "
                f"then the limit is {clean(change.next_bottleneck)}",
            ]
    return "\n".join(map(clean, lines))


def pauses(host: Host) -> str:
    """Returns what goes by between the steps, where that is worth a word."""
    found = host.breakdown
    if not found or found.paused < _PAUSED:
        return ""
    share, waits = percent(found.paused), percent(found.paused_for_input)
    return (
        f"Between the steps {share} of the time goes by (a validation, a checkpoint), {waits} of "
        "it waiting for input"
    )


def qualified(change: Change, words: str) -> str:
    """Returns a gain in words, after how it is meant."""
    return f"{change.qualifier} {words}".lstrip()


def duration(seconds: float) -> str:
    """Returns a duration with a unit that suits it: ``2.1 ms``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def percent(share: float, digits: int = 0) -> str:
    """Returns ``71 %`` of 0.71."""
    return f"{share:.{digits}%}".replace("%", " %")


def clean(text: str) -> str:
    """Returns text from a trace without what a terminal would obey, and not too long."""
    shown = "".join(c if c.isprintable() else "�" for c in text)
    return shown if len(shown) <= 300 else shown[:299] + "…"


def _rank(rank: Rank, slowest: bool) -> str:
    why = f"  ◀ {WORDS[rank.slow_part]}" if rank.slow_part else "  ◀ slowest" * slowest
    times = f"{duration(rank.step_seconds):>10} {duration(rank.own_seconds):>10}"
    return f"  {clean(rank.name)[:40]:<40} {times}{why}"


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
