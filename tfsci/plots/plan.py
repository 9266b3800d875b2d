"""Plans of trainings: where a step goes, what fills the memory, the pipeline, how it scales."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.plots.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfsci.plan.scaling import Point
    from tfsci.plan.simulator import Played

# Okabe and Ito's others, for parts of a bar.
_PARTS = {
    "computing": BLUE, "computing again": "#56B4E9", "tensor all-reduces": "#E69F00",
    "sends between stages": "#F0E442", "pipeline bubble": ORANGE, "gradient exchange": "#CC79A7",
    "optimizer": GREY, "weights": BLUE, "gradients": "#CC79A7", "activations": "#E69F00",
    "working": "#F0E442",
}  # fmt: skip


def stacked(rows: Mapping[str, Mapping[str, float]], unit: str, ax: "Axes | None" = None) -> "Axes":
    """Draws bars of parts, one below the other.

    Args:
        rows: The parts of each bar by its label, from top to bottom.
        unit: What they are in.
        ax: Where to draw; a new figure by default.
    """
    ax = ax or _axes()
    names = [
        name for name in next(iter(rows.values())) if any(row[name] > 0 for row in rows.values())
    ]
    left = [0.0] * len(rows)
    for name in names:
        widths = [row[name] for row in rows.values()]
        ax.barh(list(rows), widths, left=left, color=_PARTS.get(name, GREY), label=name, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    ax.invert_yaxis()
    ax.set_xlabel(unit)
    ax.set_xlim(0, 1.05 * max(left))
    ax.legend(
        frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small"
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def pipeline(played: "Played", ax: "Axes | None" = None, most: int = 4000) -> "Axes":
    """Draws what each stage does when: its slots, or where they are very many their shares."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    ax = ax or _axes()
    colours = {"forward": BLUE, "backward": "#E69F00"}
    spans = [span for span in played.spans if span.slot]
    if len(spans) > most:
        busy = played.occupied(1000)  # (stages, 2, columns)
        paints = np.array([to_rgb(colour) for colour in colours.values()])
        idle = 1 - busy.sum(1)
        image = np.clip(np.einsum("skc,kp->scp", busy, paints) + idle[..., None], 0, 1)
        extent = (0, played.pipeline_seconds, played.stages + 0.5, 0.5)
        ax.imshow(image, extent=extent, aspect="auto", interpolation="nearest")
    else:
        for kind, colour in colours.items():
            for stage in range(played.stages):
                own = [span for span in spans if span.stage == stage and span.kind == kind]
                bars = [(span.start, span.end - span.start) for span in own]
                edge = {"edgecolor": "white", "linewidth": 0.3}
                ax.broken_barh(bars, (stage + 0.6, 0.8), facecolors=colour, **edge)
    ax.set_xlim(0, played.seconds)
    ax.set_ylim(played.stages + 0.5, 0.5)
    ax.set_xlabel("seconds")
    ax.set_ylabel("stage")
    ax.yaxis.get_major_locator().set_params(integer=True)
    handles = [Patch(color=colour, label=kind) for kind, colour in colours.items()]
    place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
    ax.legend(handles=handles, frameon=False, ncols=2, fontsize="small", **place)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def scaling_curves(curves: Mapping[str, Sequence["Point"]], ax: "Axes | None" = None) -> "Axes":
    """Draws the efficiency over the number of devices, and why it falls where it falls most."""
    ax = ax or _axes()
    for (name, points), colour in zip(curves.items(), (BLUE, ORANGE), strict=False):
        known = [point for point in points if point.layout]
        xs, ys = [p.devices for p in known], [100 * p.efficiency for p in known]
        ax.plot(xs, ys, "o-", color=colour, label=name, markersize=4)
        falls = [(a.efficiency - b.efficiency, b) for a, b in pairwise(known)]
        if falls and max(falls, key=lambda fall: fall[0])[0] > 0.02:
            point = max(falls, key=lambda fall: fall[0])[1]
            place = (point.devices, 100 * point.efficiency)
            ax.annotate(point.reason, place, (-6, -14), textcoords="offset points", ha="right",
                fontsize="small", color=colour)  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylim(0, None)
    ax.set_xlabel("devices")
    ax.set_ylabel("samples/s of a device, % of the fewest")
    ax.grid(True, alpha=0.3)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save_plan(
    path: Path, title: str, step: Mapping[str, float], memory: Mapping[str, float], usable: float,
    played: "Played | None",
) -> None:  # fmt: skip
    """Writes the parts of a step, those of the memory and the pipeline as a PNG.

    Args:
        path: Where to.
        title: Over all.
        step: Seconds by part.
        memory: GB by part.
        usable: GB that can be filled.
        played: The pipeline; None without one.
    """
    from matplotlib.figure import Figure

    with_pipeline = played is not None and played.stages > 1
    figure = Figure(figsize=(11, 8 if with_pipeline else 4.5), layout="constrained")
    rows = figure.subplots(
        3 if with_pipeline else 2, 1, height_ratios=[1, 1, 3][: 2 + with_pipeline]
    )
    stacked({"step": step}, "seconds", rows[0])
    ax = stacked({"memory": memory}, "GB of a device", rows[1])
    ax.axvline(usable, color="black", linestyle="--")
    ax.set_xlim(0, 1.05 * max(usable, sum(memory.values())))
    if with_pipeline:
        pipeline(played, rows[2])
    figure.suptitle(title)
    figure.savefig(path, dpi=120, format="png")


def save_search(path: Path, title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Writes where the step of each layout goes as a PNG, the best on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.8 + 0.42 * len(rows)), layout="constrained")
    letters = "t tensor, p pipeline, d data, b micro-batch, v chunks of a stage"
    ax = stacked(rows, f"seconds a step          ({letters})", figure.subplots())
    ax.tick_params(axis="y", length=0)
    figure.suptitle(title)
    figure.savefig(path, dpi=120, format="png")


def save_plan_scaling(path: Path, title: str, curves: Mapping[str, Sequence["Point"]]) -> None:
    """Writes scaling curves as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    scaling_curves(curves, figure.subplots())
    figure.suptitle(title)
    figure.savefig(path, dpi=120, format="png")


def _axes() -> "Axes":
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()
