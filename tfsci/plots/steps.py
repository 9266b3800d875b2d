"""Where the steps of a training go."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfsci.plots.colours import CYCLE
from tfsci.profile.text import WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is told apart; each by the parts of a report that it holds.
_SHOWN = {
    "waiting for input": ("input",),
    "Python, starting operations": ("python", "dispatch"),
    "tracing, compiling": ("compile",),
    "the model's operations": ("compute",),
    "the rest": ("communication", "copy"),
}


def parts(breakdowns: Mapping[str, Mapping[str, float]], ax: "Axes | None" = None) -> "Axes":
    """Draws which share of a step each part takes, a bar for each training.

    Args:
        breakdowns: Seconds by part, as in `tfsci.profile.Report.breakdown`, by what to call it.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes.

    Raises:
        ValueError: A part is unknown.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    unknown = {part for each in breakdowns.values() for part in each} - set(WORDS)
    if unknown:
        raise ValueError(f"unknown part {', '.join(sorted(unknown))}; expected {', '.join(WORDS)}")
    before = np.zeros(len(breakdowns))
    for colour, (name, kinds) in zip(CYCLE, _SHOWN.items(), strict=False):
        totals = np.array([sum(each.values()) for each in breakdowns.values()])
        seconds = np.array([sum(each.get(k, 0.0) for k in kinds) for each in breakdowns.values()])
        share = 100 * seconds / totals
        if share.max() >= 0.5:
            ax.barh(list(breakdowns), share, left=before, color=colour, label=name)
        before += share
    ax.set(xlabel="share of a step in %", ylabel="stage", xlim=(0, 100))
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return ax
