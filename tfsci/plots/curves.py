"""Learning curves of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfsci.plots.colours import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
