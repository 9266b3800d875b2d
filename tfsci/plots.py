"""Pictures of results: numbers in, matplotlib Axes out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfsci.baselines.measures import MEASURES
from tfsci.baselines.results import Comparison, Result
from tfsci.baselines.trained import Trained
from tfsci.data import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every kind of colour vision.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"

_LETTERS = 64  # of a sequence in a line
_TITLE = 20  # letters; more would run into the next one


def learning_curve(
    history: Sequence[Mapping[str, float]],
    metric: str = "loss",
    known_answer: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a metric over the epochs, in training and in validation.

    Args:
        history: A row an epoch, as ``history.csv`` holds it.
        metric: ``"loss"`` or ``"accuracy"``.
        known_answer: The best value that is possible, drawn as a line.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    epochs = [row["epoch"] for row in history]
    for name, label, colour in (
        (metric, "training", BLUE),
        (f"val_{metric}", "validation", ORANGE),
    ):
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            ax.plot(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=4)
    if known_answer is not None:
        ax.axhline(
            known_answer, color=GREY, linestyle="--", label=f"best possible {known_answer:.3f}"
        )
    ax.set_xlabel("epoch")
    ax.set_ylabel({"loss": "loss (nats)"}.get(metric, metric))
    ax.set_xlim(0.5, max(epochs, default=1) + 0.5)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if metric == "loss" and any(value > 0 for line in ax.lines for value in line.get_ydata()):
        ax.set_yscale("log")
    ax.grid(True, alpha=0.3)
    if ax.lines:
        ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save_curves(
    path: Path,
    history: Sequence[Mapping[str, float]],
    metrics: Mapping[str, float | None],
) -> None:
    """Writes the learning curves of a run as a PNG.

    Args:
        path: Where to.
        history: A row an epoch.
        metrics: What ``metrics.json`` holds.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    measure, replicas = metrics.get("measure", "accuracy"), metrics["world_size"]
    for ax, name in ((left, "loss"), (right, "accuracy")):
        learning_curve(history, name, metrics["known_answer"] if name == measure else None, ax=ax)
    reached = {
        "accuracy": lambda: f"{metrics['test_accuracy']:.1%} of the test set right",
        "loss": lambda: f"test loss {metrics['test_loss']:.4f} nats",
    }.get(measure, lambda: f"{metrics['examples_per_second'] or 0:,.1f} examples/s")()
    figure.suptitle(
        f"{reached} after {metrics['epochs']} epochs on {replicas} replica{'s' * (replicas > 1)}"
    )
    figure.savefig(path, dpi=120)


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


def contact_sheet(
    x: np.ndarray,
    y: np.ndarray,
    class_names: Sequence[str] | None = None,
    columns: int = 8,
) -> "Figure":
    """Draws samples side by side: pictures, fields as lines, or tokens as text.

    Args:
        x: Inputs: pictures, floats (n, H, W, C); fields, floats (n, points); tokens, integers
            (n, length). Of a picture that has neither 1 nor 3 channels the first one is drawn.
            Those beyond 0 … 1 are stretched together; spins, −1 and 1, are two-tone.
        y: Classes, integers (n,); or fields and tokens of the shape of `x`.
        class_names: Of each class, or the letters of tokens. By default classes have numbers and
            tokens are bytes.
        columns: Samples side by side, at most.

    Returns:
        The figure.

    Raises:
        ValueError: The inputs are nothing that can be drawn.
    """
    from matplotlib.figure import Figure

    if len(x) == 0 or x.ndim not in (2, 4):
        raise ValueError(
            f"x: expected pictures (n, H, W, C) or rows (n, length); received shape {x.shape}"
        )
    tokens, fields = x.ndim == 2 and x.dtype.kind in "iu", x.ndim == 2 and x.dtype.kind == "f"
    columns = 1 if tokens else min(columns, 3 if fields else columns, len(x))
    rows = -(-len(x) // columns)
    lines = -(-x.shape[1] // _LETTERS)
    width, height = (5.2, 0.35 + 0.16 * lines) if tokens else (3.2, 2.2) if fields else (1.4, 1.6)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[len(x) :]:
        ax.set_axis_off()
    labelled = y.ndim == 1 and y.dtype.kind in "iu"
    look = _look(x) if x.ndim == 4 else {}
    for i, ax in enumerate(grid[: len(x)]):
        title = f"sample {i}"
        if labelled:
            title = class_names[y[i]] if class_names else f"class {y[i]}"
        title = title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
        ax.set_title(title, fontsize=8, pad=3, parse_math=False, loc="left" if tokens else "center")
        if tokens:
            _write(ax, x[i], class_names)
        elif fields:
            ax.plot(x[i], color=BLUE, label="input", linewidth=1.2)
            if y.shape == x.shape:
                ax.plot(y[i], color=ORANGE, label="target", linewidth=1.2)
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right"]].set_visible(False)
        else:
            ax.imshow(look["picture"](x[i]), **look["options"])
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(linewidth=0.5, color=GREY)
    if fields and y.shape == x.shape:
        grid[0].legend(frameon=False, fontsize=7)
    return figure


def _look(x: np.ndarray) -> dict:
    """Returns how pictures are brought into 0 … 1, and how `imshow` is to draw them."""
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    spins = set(np.unique(x[:8])) <= {-1, 1} and (low, high) == (-1, 1)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0

    def picture(one):
        one = (one - low) / (high - low or 1.0)
        return one if one.shape[-1] == 3 else one[..., 0]

    # Pixels are drawn as they are: smoothed, small pictures would show what is not there.
    options = {"cmap": "cividis" if spins else "gray", "interpolation": "nearest"}
    return {"picture": picture, "options": options | {"vmin": 0, "vmax": 1}}


def _write(ax: "Axes", tokens: np.ndarray, letters: Sequence[str] | None) -> None:
    words = text.decode(tokens) if letters is None else "".join(letters[t] for t in tokens)
    words = "".join(c if c.isprintable() else "·" for c in words)
    lines = [words[i : i + _LETTERS] for i in range(0, len(words), _LETTERS)]
    ax.text(
        0, 1, "\n".join(lines), family="monospace", fontsize=9, parse_math=False,
        verticalalignment="top", transform=ax.transAxes,
    )  # fmt: skip
    ax.set_axis_off()
