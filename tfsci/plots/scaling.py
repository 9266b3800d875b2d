"""Speed-up over the number of ranks."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.plots.colours import BLUE, GREY, ORANGE
from tfsci.profile.scaling import Scaling, best
from tfsci.training.run_folder import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LAWS = {"amdahl": ("Amdahl", "--"), "gustafson": ("Gustafson", "--"), "alpha-beta": ("α–β", "-")}


def scaling_curve(found: Scaling, ax: "Axes | None" = None) -> "Axes":
    """Draws measured speed-ups, the ideal, the laws, and the interval of the one that predicts.

    Args:
        found: What `tfsci.profile.scaling.analyse` returns.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    first, largest = found.sizes[0], found.sizes[-1].world_size
    end = max([largest, *found.predictions])
    n = np.geomspace(first.world_size, end, 100)
    ax.plot(n, n, color=GREY, linestyle=":", label="ideal")
    for law in found.laws:
        name, style = _LAWS[law.name]
        ax.plot(
            n, [first.cost / law.seconds(x).value for x in n],
            color=BLUE, linestyle=style, label=name,
        )  # fmt: skip
    predictor = best(found.laws)
    if predictor:
        off = [predictor.seconds(x) for x in n]
        low = [first.cost / e.high for e in off]
        # Nothing is drawn above twice the ideal, where a time might be 0.
        high = [
            min(first.cost / e.low, 2 * x) if e.low else 2 * x for x, e in zip(n, off, strict=True)
        ]
        ax.fill_between(
            n, low, high, color=BLUE, alpha=0.15, linewidth=0,
            label=f"95 % of runs by {_LAWS[predictor.name][0]}",
        )  # fmt: skip
    for label, colour, marker, sizes in (
        ("measured", "black", "o", [s for s in found.sizes if not s.outdone_by]),
        (
            "measured, slow beside larger ones",
            ORANGE,
            "X",
            [s for s in found.sizes if s.outdone_by],
        ),
    ):
        if sizes:
            ax.plot(
                [s.world_size for s in sizes], [s.speedup for s in sizes],
                marker, color=colour, label=label, markersize=7,
            )  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ticks = sorted({*(s.world_size for s in found.sizes), *found.predictions})
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.xaxis.minorticks_off()
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylim(top=2 * end)
    ax.set_xlabel("ranks")
    ax.set_ylabel(f"speed-up against {first.world_size} rank{'s' * (first.world_size > 1)}")
    ax.grid(True, alpha=0.3)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("\n".join(textwrap.wrap(found.answer, 70)), fontsize=10, loc="left")
    return ax


def save_scaling(path: Path, found: Scaling) -> None:
    """Writes the speed-ups as a PNG, whole or not at all.

    Args:
        path: Where to.
        found: What `tfsci.profile.scaling.analyse` returns.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    scaling_curve(found, figure.subplots())
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
