"""Figures that a lecturer projects: large letters, few lines, colours that everyone tells apart."""

from typing import TYPE_CHECKING

from tfsci.plots.colours import CYCLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches and points: letters are a thirtieth of the height, legible from the last row.
_SIZE = (12.8, 7.2)
_STYLE = {
    "font.size": 17,
    "axes.titlesize": 18,
    "figure.titlesize": 23,
    "lines.linewidth": 3,
    "lines.markersize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 16,
    "image.cmap": "viridis",
}


def style() -> object:
    """Returns a context in which matplotlib draws so."""
    import matplotlib
    from cycler import cycler

    return matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=CYCLE)})


def empty(title: str, rows: int, columns: int) -> "Figure":
    """Returns a figure with its Axes, and the title over them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    figure.suptitle(title, fontweight="bold")
    figure.subplots(rows, columns)
    return figure


def check(figure: "Figure") -> None:
    """Refuses a figure that can't be read without its author.

    Raises:
        ValueError: Axes with data have no labels, and are not pictures; or the title is too long.
    """
    title = figure.get_suptitle()
    if any(len(line) > 68 for line in title.split("\n")) or title.count("\n") > 1:
        raise ValueError(f"figure {title!r}: expected at most two lines of 68 letters")
    for axes in figure.axes:
        if axes.has_data() and axes.axison and not axes.images:
            missing = [name for name in "xy" if not getattr(axes, f"get_{name}label")()]
            if len(missing) > (axes.get_label() == "<colorbar>"):
                raise ValueError(f"figure {title!r}: label the {' and '.join(missing)} axis")
