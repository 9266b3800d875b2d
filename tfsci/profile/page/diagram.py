"""The pipeline from the source to the model, as SVG."""

import math
from collections.abc import Sequence

from tfsci.profile.capacity import Model
from tfsci.profile.page.markup import Markup, tag
from tfsci.profile.page.pictures import WIDTH, cut_text, rate, rectangle, svg, text
from tfsci.profile.pipeline import Stage
from tfsci.profile.text import duration

# Stages that are drawn; of more, those that take longest.
_MOST = 24

_TOP, _PITCH, _BOX = 26, 58, 46
_BOX_WIDTH, _BUFFER_WIDTH, _LABELS = 430, 110, 150


def diagram(model: Model, slowest: Stage | None, holds_back: bool) -> Markup:
    """Draws a box for each stage with what an element costs, and a bar for the time of a step's.

    Args:
        model: The pipeline; its consumer is NaN where no step is known.
        slowest: The stage that is marked.
        holds_back: Whether the training waits for it.
    """
    stages, need = _shown(model)
    row = {stage.index: number for number, stage in enumerate(stages)}
    row[0] = len(stages)
    parents = {stage.index: stage.parent for stage in model.stages}
    arcs = _arcs(stages, parents, row)
    left = 44 if any(to - number > 1 for number, to in arcs) else 4
    buffers = any(stage.buffer and stage.buffered is not None for stage in stages)
    start = left + _BOX_WIDTH + (_BUFFER_WIDTH + 50 if buffers else 30)
    known = math.isfinite(model.consumer)
    longest = max([*need.values(), model.consumer if known else 0, 1e-12])
    scale = (WIDTH - start - _LABELS) / longest
    drawn = [text(start, 14, "time for the elements of a step", "soft")]
    if buffers:
        drawn.append(text(left + _BOX_WIDTH + 24, 14, "buffer", "soft"))
    for number, stage in enumerate(stages):
        y, marked = _TOP + number * _PITCH, stage == slowest
        drawn += _box(stage, model, left, y, marked, holds_back)
        if stage.buffer and stage.buffered is not None:
            drawn += _buffer(stage, left + _BOX_WIDTH + 24, y)
        class_ = "input" if marked and holds_back else "python"
        drawn += _bar(need[stage.index], start, y, scale, class_)
    y = _TOP + len(stages) * _PITCH
    drawn.append(rectangle(left, y, _BOX_WIDTH, _BOX, "box"))
    drawn.append(text(left + 14, y + 29, "the model", "strong"))
    if known:
        drawn += _bar(model.consumer, start, y, scale, "compute")
        x = start + model.consumer * scale
        drawn.append(tag("path", d=Markup(f"M{x:.1f} {_TOP}V{y + _BOX}"), class_="demand"))
    drawn += [_link(number, to, left) for number, to in arcs]
    return svg(y + _BOX + 4, "The pipeline from the source to the model", *drawn)


def _shown(model: Model) -> tuple[tuple[Stage, ...], dict[int, float]]:
    """Returns the stages to draw, and the seconds of a step that each takes."""
    need = {stage.index: stage.seconds_per_step / model.workers(stage) for stage in model.stages}
    kept = set(sorted(need, key=need.get, reverse=True)[:_MOST])
    return tuple(stage for stage in model.stages if stage.index in kept), need


def omitted(model: Model) -> str:
    """Returns what `diagram` leaves out, in words; empty where it shows all."""
    stages, need = _shown(model)
    shown = {stage.index for stage in stages}
    rest = [seconds for index, seconds in need.items() if index not in shown]
    if not rest:
        return ""
    return f"{len(rest)} more stages, which take less, are not drawn: {duration(sum(rest))} in all"


def _arcs(stages: Sequence[Stage], parents: dict[int, int], row: dict[int, int]):
    """Returns from which row to which each stage's elements go; past stages that aren't drawn."""
    found = []
    for stage in stages:
        parent = stage.parent
        while parent not in row:
            parent = parents.get(parent, 0)
        found.append((row[stage.index], row[parent]))
    return found


def _box(stage: Stage, model: Model, x: float, y: float, marked: bool, holds_back: bool):
    yield rectangle(x, y, _BOX_WIDTH, _BOX, "box slowest" if marked and holds_back else "box")
    yield cut_text(x + 14, y + 2, _BOX_WIDTH - 18, f"{stage.index} {stage.name}", "name")
    workers = model.workers(stage)
    cost = f"{duration(stage.self_seconds)} × {stage.elements_per_step:.3g}"
    if workers > 1:
        cost += f", {workers} at once"
    elif stage.own_thread:
        cost += ", ahead in a thread of its own"
    yield text(x + 14, y + 39, cost, "soft")
    if marked:
        yield text(x + _BOX_WIDTH - 12, y + 38, "slowest", "alarm" if holds_back else "soft", "end")


def _buffer(stage: Stage, x: float, y: float):
    filled = min(max(stage.buffered / stage.buffer, 0), 1) if stage.buffer > 0 else 0
    yield rectangle(x, y + 8, _BUFFER_WIDTH - 10, 14, "empty")
    yield rectangle(x, y + 8, (_BUFFER_WIDTH - 10) * filled, 14, "full")
    yield text(x, y + 39, f"{stage.buffered} of {stage.buffer}", "soft")


def _bar(seconds: float, x: float, y: float, scale: float, class_: str):
    yield rectangle(x, y + 10, max(seconds * scale, 1), _BOX - 20, class_)
    style = "alarm" if class_ == "input" else "strong"
    yield text(WIDTH, y + 20, duration(seconds), style, "end")
    steps = f"{rate(1 / seconds)} steps/s" if seconds > 0 else "—"
    yield text(WIDTH, y + 39, steps, "soft", "end")


def _link(number: int, to: int, left: float) -> Markup:
    """Returns an arrow down to the next box, or one that passes the boxes between on the left."""
    y = _TOP + number * _PITCH
    if to == number + 1:
        x, start, end = left + 30, y + _BOX, y + _PITCH
        shaft, head = f"M{x} {start}V{end - 7}", f"M{x} {end}l-6 -9h12z"
    else:
        start, end, out = y + _BOX / 2, _TOP + to * _PITCH + _BOX / 2, 6
        shaft = f"M{left} {start}C{out - 10} {start} {out - 10} {end} {left - 7} {end}"
        head = f"M{left} {end}l-9 -6v12z"
    shapes = tag("path", d=Markup(shaft), class_="link"), tag("path", d=Markup(head), class_="head")
    return tag("g", *shapes)
