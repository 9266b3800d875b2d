"""Baselines beside each other, and beside trained networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.baselines.measures import MEASURES
from tfsci.baselines.results import Comparison, Result
from tfsci.baselines.trained import Trained
from tfsci.plots.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def comparison(
    results: Sequence[Result | Trained],
    known_answer: float | None = None,
    labels: Sequence[str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws test scores as bars, the first one on top, and cross-validation as points.

    Args:
        results: Of baselines and of trained networks, which have a colour of their own.
        known_answer: The best value that is possible, drawn as a line.
        labels: Of each bar; the titles of the results by default.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    for colour, label, kind in ((BLUE, "test", Result), (ORANGE, "test, trained network", Trained)):
        bars = [(i, result) for i, result in enumerate(results) if isinstance(result, kind)]
        if bars:
            off = [result.test_standard_error or 0 for _, result in bars]
            ax.barh(
                [i for i, _ in bars], [result.test for _, result in bars], 0.7, xerr=off,
                color=colour, label=label, ecolor="black",
            )  # fmt: skip
    crossed = [(i, result) for i, result in enumerate(results) if isinstance(result, Result)]
    if crossed:
        ax.errorbar(
            [result.cross_validation for _, result in crossed], [i + 0.2 for i, _ in crossed],
            xerr=[result.standard_error for _, result in crossed], label="cross-validation",
            fmt="o", color="white", markeredgecolor="black", ecolor="black", markersize=4,
        )  # fmt: skip
    if known_answer is not None:
        ax.axvline(
            known_answer, color=GREY, linestyle="--", label=f"best possible {known_answer:.3f}"
        )
    for i, result in enumerate(results):
        ax.text(
            1.02, i, "–" if np.isnan(result.test) else f"{result.test:.3f}",
            fontsize=9, va="center", transform=ax.get_yaxis_transform(),
        )  # fmt: skip
    if all(MEASURES[result.measure].higher_is_better for result in results):
        ax.set_xlim(right=1.02)  # all of these end at 1
    elif known_answer == 0:
        ax.set_xlim(left=-0.02 * ax.get_xlim()[1])  # else the line is hidden by the axis
    ax.set_yticks(range(len(results)), labels or [result.title for result in results])
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.grid(True, axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save_comparison(path: Path, found: Comparison) -> None:
    """Writes the scores of baselines, and of networks beside them, as a PNG.

    Args:
        path: Where to.
        found: What was compared.
    """
    from matplotlib.figure import Figure

    groups = [group for group in (found.ranked, found.structure) if group]
    heights = [len(group) + 1 for group in groups]
    figure = Figure(figsize=(8, 1.2 + 0.36 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights).ravel()
    for ax, group in zip(grid, groups, strict=True):
        ranked = group[0].measure == found.measure
        names = [f"{result.title}\n{MEASURES[result.measure].label}" for result in group]
        comparison(group, found.known_answer if ranked else None, None if ranked else names, ax)
        if ranked:
            ax.set_xlabel(MEASURES[found.measure].label)
    handles = {
        label: h for ax in grid for h, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=len(handles), frameon=False
    )
    figure.suptitle(f"{found.data}, {found.samples['train']:,} training samples")
    figure.savefig(path, dpi=120)
