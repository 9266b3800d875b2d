"""Results side by side: bars in groups, and the best possible as a line over each group."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfsci.plots.colours import CYCLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 0.8  # of a group, whose places are 1 apart


def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    best: Mapping[str, float] | None = None,
    ylabel: str = "accuracy",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws groups of bars beside each other.

    Args:
        groups: For each group the values of its bars; every group has the same bars.
        best: For each group the best value that is possible, drawn as a dashed line over it.
        ylabel: What the values are.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes, with room above for the legend, and without a label of its x axis.

    Raises:
        ValueError: The groups do not have the same bars.

    Example:
        >>> ax = grouped_bars({"few data": {"training": 0.9, "fresh": 0.6}}, {"few data": 0.8})
    """
    names = list(next(iter(groups.values()), ()))
    for group, values in groups.items():
        if list(values) != names:
            raise ValueError(f"group {group!r}: expected the bars {names}, got {list(values)}")
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    width = _WIDTH / max(1, len(names))
    for i, name in enumerate(names):
        places = [group + (i + 0.5) * width - _WIDTH / 2 for group in range(len(groups))]
        heights = [values[name] for values in groups.values()]
        ax.bar(places, heights, 0.96 * width, color=CYCLE[i % len(CYCLE)], label=name)
    if best:
        middles = [place for place, group in enumerate(groups) if group in best]
        limits = [best[group] for group in groups if group in best]
        ends = [[middle + side * 0.46 for middle in middles] for side in (-1, 1)]
        ax.hlines(limits, *ends, color="black", linestyle="--", label="best possible")
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_ylabel(ylabel)
    ax.set_ylim(0, 1.25 * max([ax.dataLim.y1, *(best or {}).values()], default=1))
    ax.legend(loc="upper center", ncols=3, frameon=False)
    return ax
