"""The roofs of a machine, and training steps under them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfsci.plots.colours import BLUE, GREY, ORANGE
from tfsci.profile.roofline import Machine, Step
from tfsci.training.run_folder import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def roofline(machine: Machine, steps: Sequence[Step] = (), ax: "Axes | None" = None) -> "Axes":
    """Draws operations a second over operations a byte, both axes logarithmic.

    Args:
        machine: Its roofs.
        steps: Points under them; a line reaches from each to its roof.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(layout="constrained").subplots()
    places = [step.intensity for step in steps]
    left = min([machine.ridge / 30, *(0.5 * place for place in places)])
    right = max([machine.ridge * 30, *(4 * place for place in places)])
    xs = [left, machine.ridge, right]
    ax.plot(xs, [machine.roof(x) / 1e9 for x in xs], color=GREY, linewidth=2)
    for step in steps:
        reached, roof = step.flops_per_second / 1e9, machine.roof(step.intensity) / 1e9
        colour = ORANGE if step.intensity < machine.ridge else BLUE
        ax.plot([step.intensity] * 2, [reached, roof], ":", color=colour, linewidth=1)
        ax.plot([step.intensity], [reached], "o", color=colour)
        ax.annotate(
            f"{step.name}, {100 * step.utilisation(machine):.0f} %", (step.intensity, reached),
            (6, -4), textcoords="offset points", fontsize=9, va="top", parse_math=False,
        )  # fmt: skip
    top = machine.matrix_flops_per_second / 1e9
    bandwidth = machine.memory_bytes_per_second / 1e9
    ax.annotate(f"matrix products: {top:,.0f} GFLOP/s", (right, top), (0, 4), ha="right",
                textcoords="offset points", color=GREY)  # fmt: skip
    ax.annotate(f"memory: {bandwidth:,.1f} GB/s", (left, machine.roof(left) / 1e9), (12, 2),
                textcoords="offset points", color=GREY)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, right)
    ax.set_xlabel("operations a byte of memory traffic (FLOP/byte)")
    ax.set_ylabel("GFLOP/s")
    ax.grid(True, which="major", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save_roofline(path: Path, machine: Machine, steps: Sequence[Step] = ()) -> None:
    """Writes the roofs and the steps under them as a PNG, whose title says what is found.

    Args:
        path: Where to; written whole or not at all.
        machine: Its roofs.
        steps: Points under them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    roofline(machine, steps, figure.subplots()).set_title(
        _title(machine, steps), loc="left", parse_math=False
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _title(machine: Machine, steps: Sequence[Step]) -> str:
    if not steps:
        return f"Below {machine.ridge:.1f} operations a byte memory is this machine's limit"
    best = max(steps, key=lambda step: step.utilisation(machine))
    share = f"{100 * best.utilisation(machine):.0f} %"
    by_memory = sum(step.intensity < machine.ridge for step in steps)
    if len(steps) == 1:
        roof = "memory bandwidth" if by_memory else "the matrix rate"
        return f"{best.name} reaches {share} of {roof}"
    return (
        f"{best.name} comes nearest to its roof, {share}; memory is the roof of {by_memory} of "
        f"{len(steps)} models"
    )
