"""Where steps go, as SVG: bars of their parts, and a few of them in time."""

import itertools
import math
from collections.abc import Mapping, Sequence

from tfsci.profile.breakdown import PARTS, SHOWN
from tfsci.profile.page.markup import Markup, join, tag
from tfsci.profile.page.style import WHITE_ON
from tfsci.profile.text import WORDS, duration

WIDTH = 1100


_LABEL, _TIME = 210, 90  # of a row
_CHARACTER = 8.8  # at most so wide, at the size that the page gives
# Pieces of the timeline closer than this, in units of the picture, are drawn as one.
_CLOSE = 0.4


def svg(height: float, label: str, *children: object) -> Markup:
    """Returns a picture of the page's width; `label` is what a screen reader says."""
    box = f"0 0 {WIDTH} {height:.0f}"
    return tag("svg", *children, viewBox=box, role="img", aria_label=label)


def text(x: float, y: float, content: object, class_: str = "", anchor: str | None = None):
    """Returns a line of text."""
    return tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_, text_anchor=anchor)


def cut_text(x: float, y: float, width: float, content: str, class_: str = ""):
    """Returns a line of text below `y`, cut where it is too wide; a mouse on it shows all."""
    place = {"x": x, "y": y, "width": width}
    inside = tag("title", content), text(0, 18, content, class_)
    return tag("svg", *inside, **place, height=24, style="overflow: hidden")


def rectangle(x: float, y: float, width: float, height: float, class_: str, title: str = ""):
    """Returns a rectangle; `title` appears where a mouse rests on it."""
    inside = [tag("title", title)] if title else []
    size = {"x": x, "y": y, "width": max(width, 0), "height": height}
    return tag("rect", *inside, **{k: f"{v:.1f}" for k, v in size.items()}, class_=class_)


def rate(number: float) -> str:
    """Returns three digits of a rate, without powers of ten."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 1000 else f"{number:.3g}"


def bars(rows: Sequence[tuple[str, Mapping[str, float]]], slowest: str = "") -> Markup:
    """Draws the parts of a step, a row for each process.

    Args:
        rows: Name of the process and seconds by part.
        slowest: Name of the one that is marked.
    """
    alone = len(rows) == 1
    left, height, pitch = (0, 46, 46) if alone else (_LABEL, 28, 36)
    room = WIDTH - left - (0 if alone else _TIME)
    scale = room / max(max(sum(parts.values()) for _, parts in rows), 1e-12)
    drawn = []
    for number, (name, parts) in enumerate(rows):
        y, x, total = number * pitch, left, sum(parts.values())
        middle = y + height / 2 + 5.5
        for part, seconds in parts.items():
            drawn += _segment(part, seconds, total, x, y, seconds * scale, height)
            x += seconds * scale
        if not alone:
            class_ = "alarm" if name == slowest else ""
            inside = text(0, 18, name, class_)  # cut where it is too wide for its column
            size = {"width": _LABEL - 12, "height": height, "style": "overflow: hidden"}
            drawn.append(
                tag("svg", tag("title", name), inside, x=0, y=f"{middle - 18:.1f}", **size)
            )
            drawn.append(text(x + 8, middle, duration(total), class_ or "strong"))
    return svg(len(rows) * pitch, "Where a step goes", *drawn)


def _segment(part: str, seconds: float, total: float, x, y, width, height):
    share = f"{seconds / total:.0%}".replace("%", " %") if total else ""
    words = WORDS.get(part, part)
    yield rectangle(x, y, width, height, part, f"{words}: {duration(seconds)}, {share}")
    for label in (f"{words} {share}", share):
        if len(label) * _CHARACTER + 16 < width:
            class_ = "white" if part in WHITE_ON else "black"
            yield text(x + width / 2, y + height / 2 + 5.5, label, class_, "middle")
            break


def timeline(pieces: Sequence[tuple[str, float, float]], lengths: Sequence[float]) -> Markup:
    """Draws a few steps, a lane for each part.

    Args:
        pieces: As `Breakdown.timeline` holds them.
        lengths: Seconds of the steps, the first ones first.
    """
    ends = list(itertools.accumulate(lengths[:SHOWN]))
    last = max(ends[-1], 1e-9)
    lanes = [part for part in PARTS if any(part == name for name, _, _ in pieces)]
    height, scale = 34 * len(lanes), (WIDTH - _LABEL - 20) / last
    drawn = [_axis(last, scale, height + 24), *_steps(ends, scale, height + 24)]
    for number, part in enumerate(lanes):
        y = 24 + number * 34
        mine = [(start, end) for name, start, end in pieces if name == part]
        drawn.append(text(0, y + 22, WORDS[part]))
        drawn.append(tag("path", d=_path(mine, scale, y + 5), class_=part))
    return svg(height + 62, "The first steps in time", *drawn)


def _axis(last: float, scale: float, y: float) -> Markup:
    """Returns at most eight round times in ms, with a line up from each."""
    last *= 1e3
    size = 10 ** math.floor(math.log10(last / 8))
    tick = next(size * factor for factor in (1, 2, 5, 10) if size * factor * 8 >= last)
    drawn = []
    for number in range(int(last / tick + 1e-9) + 1):
        x = _LABEL + number * tick / 1e3 * scale
        drawn.append(tag("path", d=Markup(f"M{x:.1f} 22V{y + 4:.1f}"), class_="rule"))
        unit = " ms" if number == 0 else ""
        drawn.append(text(x, y + 22, f"{number * tick:.6g}{unit}", "soft", "middle"))
    return join(drawn)


def _steps(ends: Sequence[float], scale: float, y: float):
    """Yields lines between the steps, with their numbers above."""
    for number, (start, end) in enumerate(itertools.pairwise((0.0, *ends)), 1):
        x = _LABEL + end * scale
        yield tag("path", d=Markup(f"M{x:.1f} 4V{y:.1f}"), class_="demand")
        if (end - start) * scale > 7 * _CHARACTER:
            yield text(_LABEL + (start + end) / 2 * scale, 16, f"step {number}", "soft", "middle")


def _path(spans: Sequence[tuple[float, float]], scale: float, y: float) -> Markup:
    merged: list[list[float]] = []
    for start, end in spans:
        x, end = _LABEL + start * scale, _LABEL + end * scale
        if merged and x - merged[-1][1] < _CLOSE:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([x, max(end, x + _CLOSE)])
    return Markup("".join(f"M{a:.1f} {y}h{b - a:.1f}v24H{a:.1f}z" for a, b in merged))
