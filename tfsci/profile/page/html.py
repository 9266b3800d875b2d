"""A report as one HTML file with pictures: no script, no font, nothing from a network."""

import html
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tfsci.profile import breakdown
from tfsci.profile.capacity import Model
from tfsci.profile.changes import Change
from tfsci.profile.page import pictures
from tfsci.profile.page.diagram import diagram, omitted
from tfsci.profile.page.markup import Markup, join, tag
from tfsci.profile.page.style import CSS
from tfsci.profile.ranks import own_seconds
from tfsci.profile.reading import Host, Trace
from tfsci.profile.text import WORDS, duration, pauses, percent, qualified
from tfsci.profile.verdict import Report
from tfsci.training.run_folder import replacing

# Allows the page its own style and nothing else, whatever its text might smuggle in.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_MOST_ROWS = 10
_MOST_RANKS = 16
_SMALL = 0.0005  # share of a step that is not worth a word
_SIGNS = {"at most": "≤ ", "about": "≈ ", "": ""}  # of a gain

_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
"""


def page(report: Report, trace: Trace) -> str:
    """Returns a report as a page.

    Args:
        report: What `verdict.judge` says of the trace.
        trace: What it was made from.
    """
    host = reported(report, trace)
    sections = (
        _facts(report, trace, host),
        _steps(report, trace, host),
        _changes(report),
        _pipeline(report, host),
        _what_to_do(report),
        _timeline(host),
        _tables(host),
    )
    heading = tag("p", f"tfsci profile · {trace.folder}"), tag("h1", report.answer)
    body = tag("body", tag("header", *heading), *sections, tag("footer", tag("p", _about(trace))))
    title = tag("title", f"{report.verdict} · tfsci profile")
    style = tag("style", Markup(CSS))
    return f"{_HEAD}{title}\n{style}\n</head>\n{body}\n</html>\n"


def write(path: str | Path, report: Report, trace: Trace) -> None:
    """Writes the page, whole or not at all.

    Raises:
        OSError: It can't be written.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_text(page(report, trace), encoding="utf-8")


def reported(report: Report, trace: Trace) -> Host:
    """Returns the process that the report is of."""
    for host in trace.hosts:
        parts = host.breakdown.parts if host.breakdown else {}
        if (parts, host.stages) == (report.breakdown, report.stages):
            return host
    return trace.hosts[0]


def _facts(report: Report, trace: Trace, host: Host) -> Markup:
    facts = []
    if report.steps:
        facts += [
            (f"a step, mean of {report.steps}", duration(report.step_seconds)),
            ("steps/s", pictures.rate(1 / report.step_seconds)),
            ("of a step waits for input", percent(report.input_share)),
        ]
    if report.changes:
        best = report.changes[-1 if report.changes_add_up else 0]
        which = "the changes" if report.changes_add_up else "the first change"
        facts.append((f"predicted with {which} below", _gain(best)))
    if len(trace.hosts) > 1:
        facts.append(("processes", len(trace.hosts)))
    if host.devices:
        facts.append(("GPUs of a process", host.devices))
    largest = sorted(host.memory.items(), key=lambda peak: -peak[1])[:2]
    facts += [(f"most memory held by {name}", _size(size)) for name, size in largest]
    rows = [tag("div", tag("dt", what), tag("dd", value)) for what, value in facts]
    return tag("dl", *rows, class_="facts") if rows else Markup()


def _steps(report: Report, trace: Trace, host: Host) -> Markup:
    if not report.breakdown:
        return Markup()
    rows = _rank_rows(trace, host)
    drawn = pictures.bars(rows, host.name if len(rows) > 1 else "")
    legend = [
        tag("li", tag("i", class_=part), f"{WORDS.get(part, part)} ", tag("b", duration(seconds)),
            f" {percent(seconds / report.step_seconds, 1)}")
        for part, seconds in report.breakdown.items()
        if seconds >= _SMALL * report.step_seconds
    ]  # fmt: skip
    of = f" of {host.name}, shown below," if len(rows) > 1 else ""
    about = f"the mean step{of} takes {duration(report.step_seconds)}"
    parts = tag("ul", *legend, class_="legend"), *_note(pauses(host))
    return _section("Where a step goes", drawn, *parts, about=about)


def _rank_rows(trace: Trace, host: Host) -> list[tuple[str, Mapping[str, float]]]:
    """Returns the parts of each process' step; of many the slowest, and the mean of the rest."""
    known = [other for other in trace.hosts if other.breakdown]
    known.sort(key=lambda other: (other is not host, -own_seconds(other)))
    shown, rest = known[:_MOST_RANKS], known[_MOST_RANKS:]
    rows = [(other.name, other.breakdown.parts) for other in sorted(shown, key=_by_number)]
    if rest:
        parts = {
            part: sum(other.breakdown.parts[part] for other in rest) / len(rest)
            for part in rest[0].breakdown.parts
        }
        rows.append((f"mean of {len(rest)} others", parts))
    return rows


def _by_number(host: Host) -> list:
    """Sorts rank10 after rank2."""
    pieces = re.split(r"(\d+)", host.name, flags=re.ASCII)
    return [(len(piece), piece) if i % 2 else (0, piece) for i, piece in enumerate(pieces)]


def _gain(change: Change) -> str:
    return f"{_SIGNS[change.qualifier]}{change.predicted_speedup:.2f}×"


def _changes(report: Report) -> Markup:
    rows = []
    for change in report.changes:
        rate = pictures.rate(change.predicted_speedup / report.step_seconds)
        gain = _gain(change), tag("small", "as fast")
        what = tag("b", change.what[:1].upper() + change.what[1:])
        rate = qualified(change, f"{rate} steps/s")
        then = f"predicted: {rate}; then the limit is {change.next_bottleneck}"
        lines = tag("p", what), tag("p", tag("code", change.where)), tag("p", then, class_="note")
        rows.append(tag("li", tag("div", *gain, class_="gain"), tag("div", *lines)))
    if not rows:
        return Markup()
    about = "each on top of the one before" if report.changes_add_up else "each by itself"
    return _section("What to change", tag("ol", *rows, class_="changes"), about=about)


def _pipeline(report: Report, host: Host) -> Markup:
    if not host.stages:
        return Markup()
    model, about = Model(host.stages, math.nan, host.pool_threads), ""
    if host.breakdown:
        model = Model.of(host)
        about = "without a final prefetch the model waits for each batch"
        if model.works_ahead:
            about = "what reaches over the model's line holds it back"
    holds_back = report.verdict in ("input-bound", "balanced")
    drawn = diagram(model, report.stage, holds_back)
    return _section("The input pipeline", drawn, *_note(omitted(model)), about=about)


def _what_to_do(report: Report) -> Markup:
    if report.verdict != "unknown":
        return Markup()
    ways = (
        ("traces a script until it has ten steps", "python -m tfsci.profile SCRIPT"),
        ("traces steps of a fit", "callbacks=[TraceSteps(folder, steps=10, skip=3)]"),
        ("marks the steps of a loop of your own", "with tracer.step():"),
    )
    rows = [tag("li", tag("code", code), f" {what}") for what, code in ways]
    return _section("What to do", tag("ul", *rows))


def _timeline(host: Host) -> Markup:
    pieces = host.breakdown.timeline if host.breakdown else ()
    if not pieces:
        return Markup()
    steps = min(len(host.seconds), breakdown.SHOWN)
    title = f"The first {steps} steps in time" if steps > 1 else "The first step in time"
    about = "without pauses between them; where nothing is drawn, Python runs"
    return _section(title, pictures.timeline(pieces, host.seconds), about=about)


def _tables(host: Host) -> Markup:
    if not host.breakdown:
        return Markup()
    found = host.breakdown
    tables = _table("Operations", found.operations), _table("Layers", found.layers)
    note = "Times of a step, of all threads together: they may add up to more than the step."
    return join([tag("div", *tables, class_="columns"), *_note(note if any(tables) else "")])


def _table(title: str, times: Mapping[str, float]) -> Markup:
    """Returns the largest times in a table, the rest of them summed."""
    ordered = sorted(times.items(), key=lambda row: -row[1])
    total, rows = sum(times.values()), ordered[:_MOST_ROWS]
    if total <= 0:
        return Markup()
    if len(ordered) > _MOST_ROWS:
        rest = ordered[_MOST_ROWS:]
        rows.append((f"{len(rest)} others", sum(seconds for _, seconds in rest)))
    largest = max(seconds for _, seconds in rows)
    lines = []
    for name, seconds in rows:
        cells = duration(seconds), percent(seconds / total, 1), _small_bar(seconds / largest)
        lines.append(tag("tr", tag("th", name, title=name), *(tag("td", cell) for cell in cells)))
    return _section(title, tag("table", *lines))


def _small_bar(share: float) -> Markup:
    return tag("svg", pictures.rectangle(0, 0, 90 * share, 12, "compute"), viewBox="0 0 90 12")


def _section(title: str, *content: Markup, about: str = "") -> Markup:
    heading = tag("h2", title, *([" ", tag("small", f"· {about}")] if about else []))
    return tag("section", heading, *content)


def _note(words: str) -> Iterable[Markup]:
    return [tag("p", words, class_="note")] if words else []


def _about(trace: Trace) -> str:
    events = sum(host.events for host in trace.hosts)
    of = f", {len(trace.hosts)} processes" if len(trace.hosts) > 1 else ""
    return f"From {events:,} events{of}. TensorBoard and xprof open the same folder."


def _size(size: int) -> str:
    for unit, of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= of:
            return f"{size / of:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
