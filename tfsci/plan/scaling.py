"""From one device to many: how fast, and why not faster."""

from dataclasses import dataclass

from tfsci.plan import network as networks
from tfsci.plan.layout import Layout, divisors
from tfsci.plan.machines import Machine
from tfsci.plan.network import Network
from tfsci.plan.search import evaluate, layouts, loses
from tfsci.plan.step import step
from tfsci.plan.transformer import Transformer


@dataclass(frozen=True)
class Point:
    """A number of devices.

    Attributes:
        devices: How many.
        layout: The best on them; None where nothing fits or divides.
        seconds: Of a step.
        samples_per_second: Of all devices.
        efficiency: Samples/s of a device, as a share of the first point's.
        reason: What it loses against the point before, or why there is none.
    """

    devices: int
    layout: Layout | None
    seconds: float | None
    samples_per_second: float | None
    efficiency: float | None
    reason: str


def scaling(
    model: Transformer | Network,
    machine: Machine,
    devices: int,
    batch: int,
    weak: bool = False,
    flash: bool = False,
) -> list[Point]:
    """Returns the best step on 1, 2, 4, … devices, up to a number.

    Args:
        model: What to train.
        machine: Where.
        devices: At most.
        batch: Samples of a step; weak scaling: for each device.
        weak: Whether the batch grows with the devices.
        flash: Whether attention is one operation.
    """
    counts = [2**i for i in range(devices.bit_length()) if 2**i < devices] + [devices]
    points, first, before = [], None, None
    for count in counts:
        found = _best(model, machine, count, batch * count if weak else batch, flash)
        if isinstance(found, str):
            points.append(Point(count, None, None, None, None, found))
            continue
        layout, took = found
        seconds = float(took.seconds)
        rate = layout.global_batch / seconds
        first = first or rate / count
        work = float(took.model_flops) / count  # of a device; parts per work can be compared
        parts = {name: float(value) / work for name, value in took.parts.items()}
        reason = loses(before, parts) if before else "the first"
        points.append(Point(count, layout, seconds, rate, rate / count / first, reason))
        before = parts
    return points


def _best(model, machine: Machine, devices: int, batch: int, flash: bool):
    """Returns the best layout and its step, or why there is none."""
    if isinstance(model, Network):
        if batch % devices:
            return f"a batch of {batch} does not divide"
        for each in reversed(divisors(batch // devices)):
            layout = Layout(1, 1, devices, each, batch, recompute="none")
            over = float(networks.memory(model, layout).total) - machine.device.usable
            if over <= 0:
                return layout, networks.step(model, machine, layout)
        return f"does not fit: {over / 1e9:,.0f} GB too much"
    try:
        found = evaluate(model, machine, layouts(model, devices, batch, flash))
    except ValueError:
        return f"no layout divides {model.heads} heads, {model.layers} layers and {batch} samples"
    if not found.ranking.size:
        return f"does not fit: {found.shortage()[1] / 1e9:,.0f} GB too much"
    layout = found.layouts.at(found.ranking[0])
    return layout, step(model, machine, layout)
