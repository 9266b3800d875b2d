"""The answers in words and bars, for a terminal."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfsci.plan.check import Checked
from tfsci.plan.failures import Failures
from tfsci.plan.machines import Machine
from tfsci.plan.report import Plan
from tfsci.plan.scaling import Point
from tfsci.plan.search import NAMES, Found
from tfsci.plan.simulator import Played

_BAR = 30


def quantity(value: float) -> str:
    """Returns a large number in words: 1.7 B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= 0.9995 * size:
            return f"{value / size:.{3 - len(str(int(value / size)))}f} {unit}".replace(". ", " ")
    return f"{value:,.0f}"


def number(value: float) -> str:
    """Returns a number with as many digits as say something."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Returns a time in the unit that fits."""
    for unit, size in (("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 2 * size or unit == "µs" or (unit == "s" and seconds >= 1):
            return (
                f"{seconds / size:,.3g} {unit}"
                if seconds < 1e5
                else f"{seconds / size:,.0f} {unit}"
            )
    raise AssertionError


def _bars(parts: Mapping[str, float], show) -> Iterator[str]:
    """Yields a line for each part that is anything, with its share."""
    total = sum(parts.values())
    for name, value in parts.items():
        share = value / total
        if share >= 0.0005:
            yield f"  {name:22}{show(value):>10}{share:7.1%}  {'█' * round(_BAR * share)}".rstrip()


def show(plan: Plan, played: Played | None, training: Mapping[str, float | None] | None) -> str:
    """Returns what a model needs and does on a machine."""
    layout, took, device = plan.layout, plan.step, plan.machine.device
    name = plan.model.name or f"{quantity(plan.parameters)} parameters"
    lines = [
        f"{name} on {layout.devices:,} × {device.name}, {plan.machine.title}",
        f"{quantity(plan.parameters)} parameters; {layout}",
        "",
        f"A step of {layout.global_batch:,} samples takes {duration(float(took.seconds))}:",
        *_bars({NAMES[k]: float(v) for k, v in took.parts.items()}, duration),
        "",
        f"{number(float(took.flops_per_device) / 1e12)} TFLOP/s a device, "
        f"{float(took.utilisation):.1%} of its peak "
        f"({float(took.model_utilisation):.1%} without what is computed again)",
    ]
    rate = f"{number(plan.samples_per_second)} samples/s"
    if plan.tokens_per_second:
        rate = f"{number(plan.tokens_per_second)} tokens/s"
    lines += [rate, ""]
    total, usable = float(plan.memory.total), device.usable
    lines.append(
        f"Memory of a device: {total / 1e9:.1f} GB of {usable / 1e9:.1f} GB that can be filled"
    )
    lines += _bars(
        {k: float(v) for k, v in plan.memory.parts.items()}, lambda b: f"{b / 1e9:.1f} GB"
    )
    if plan.over > 0:
        lines.append(f"  does not fit: {plan.over / 1e9:.1f} GB too much")
    if played and played.stages > 1:
        lines += ["", *timeline(played)]
    if training:
        energy = training["megawatt_hours"]
        lines += [
            "",
            f"{quantity(training['tokens'])} tokens: {training['days']:,.1f} days, "
            f"{training['device_hours']:,.0f} device-hours"
            + (f", {energy:,.0f} MWh in the devices alone" if energy else ""),
        ]
    return "\n".join(lines)


def timeline(played: Played, width: int = 72, most: int = 16) -> list[str]:
    """Returns the pipeline as lines of characters, a stage each."""
    end = played.pipeline_seconds
    stages = range(played.stages)
    if played.stages > most:
        stages = [round(i * (played.stages - 1) / (most - 1)) for i in range(most)]
    kinds = f"▒ forward, █ backward, ▓ both, · waiting: {played.bubble:.1%}"
    lines = [f"The pipeline over {duration(end)} ({kinds}):"]
    busy = played.occupied(width)
    for stage in stages:
        forward, backward = busy[stage]
        row = np.select(
            [forward + backward < 0.5, forward > 6 * backward, backward > 6 * forward],
            ["·", "▒", "█"],
            "▓",
        )
        lines.append(f"  {stage + 1:4} {''.join(row)}")
    return lines


def search(found: Found, number: int) -> str:
    """Returns the best layouts as a table."""
    best = found.best(number)
    seconds = found.step.seconds
    lines = [
        f"{len(found):,} layouts divide, {found.ranking.size:,} of them fit; the best of each:",
        "",
        f"{'tensor':>6} {'pipe':>5} {'data':>5} {'micro':>6} {'chunks':>6}  {'again':9} "
        f"{'split':5} {'ZeRO':>4} {'step':>9} {'TFLOP/s':>7} {'peak':>6} {'bubble':>6} "
        f"{'memory':>7}  loses",
    ]
    for index in best:
        row = found.layouts.at(index)
        memory = float(found.memory.total[index]) / 1e9
        lines.append(
            f"{row.tensor:6} {row.pipeline:5} {row.data:5} {row.micro_batch:6} {row.chunks:6}  "
            f"{row.recompute:9} {'yes' if row.sequence_parallel else '–':5} {row.zero:4} "
            f"{duration(float(seconds[index])):>9} "
            f"{found.step.flops_per_device[index] / 1e12:7.1f} "
            f"{found.step.utilisation[index]:6.1%} {float(row.bubble):6.1%} {memory:4.0f} GB  "
            f"{found.why(index)}"
        )
    if len(best) > 1:
        behind = float(seconds[best[1]] / seconds[best[0]]) - 1
        lines += ["", f"The second is {behind:.1%} behind the best."]
    lines.append(
        "again: what is computed again; split: sequence parallel; loses: where most, as a share of "
        "the best's step"
    )
    return "\n".join(lines)


def scaling(points: Sequence[Point], weak: bool) -> str:
    """Returns a scaling curve as a table."""
    kind = (
        "Weak scaling: the batch grows with the devices"
        if weak
        else "Strong scaling: one batch for all"
    )
    lines = [f"{kind}; the best layout on each", ""]
    lines.append(
        f"{'devices':>8} {'step':>9} {'samples/s':>10} {'efficiency':>10}  bends because of"
    )
    for point in points:
        if point.layout is None:
            lines.append(f"{point.devices:8,} {'–':>9} {'–':>10} {'–':>10}  {point.reason}")
            continue
        lines.append(
            f"{point.devices:8,} {duration(point.seconds):>9} "
            f"{number(point.samples_per_second):>10} {point.efficiency:10.1%}  "
            f"{point.reason:26} {point.layout}"
        )
    return "\n".join(lines)


def check(checked: Checked) -> str:
    """Returns what is wrong with a script, worst first."""
    launch, layout = checked.launch, checked.layout
    size = f"{quantity(checked.model.parameters)} parameters" if checked.model else "a model"
    ranks = f"{launch.ranks:,} ranks" if launch.ranks else "ranks not given"
    nodes = f" on {launch.nodes:,} nodes" if launch.nodes else ""
    lines = [f"{checked.path}: {size}, {ranks}{nodes}, {checked.machine.title}"]
    if layout:
        lines.append(
            f"  {layout}; batch {layout.global_batch}, {layout.micro_batches} micro-batches, "
            f"bubble {checked.bubble:.0%}"
        )
    lines += [f"  {finding}" for finding in checked.findings] or ["  nothing to find fault with"]
    if best := checked.helps_most:
        lines.append(f"  What helps most: {best.change} ({best.gain:.1f}× as fast)")
    return "\n".join(lines)


def simulated(
    plan: Plan, played: Played, shared: float, failures: Failures, runs: Sequence[tuple]
) -> str:
    """Returns a simulated step, and a job with failures."""
    slots = sum(1 for span in played.spans if span.slot)
    formula = duration(float(plan.step.seconds))
    lines = [
        f"{plan.model.name or quantity(plan.parameters)} on {plan.layout.devices:,} × "
        f"{plan.machine.device.name}: {slots:,} slots in {played.stages} stages, "
        f"{plan.layout.data * plan.layout.tensor:,} pipelines alike",
        f"A step takes {duration(played.seconds)}; by formula {formula}; where stages share the "
        f"ports of their nodes {duration(shared)}",
        *(timeline(played) if played.stages > 1 else ()),
        "",
        f"A failure every {duration(failures.mtbf)}, a checkpoint of "
        f"{duration(failures.checkpoint)}, a restart of {duration(failures.restart)}:",
        f"  {'a checkpoint every':>20} {'goodput':>8} {'simulated':>10}",
    ]
    for name, interval, expected, mean in runs:
        lines.append(f"  {duration(interval):>20} {expected:8.1%} {mean:10.1%}  {name}".rstrip())
    return "\n".join(lines)


def machines(rows: Sequence[Machine]) -> str:
    """Returns the machines that are known, with their sources."""
    lines = []
    for machine in rows:
        device = machine.device
        levels = [
            f"{link.bandwidth:.4g} GB/s " + (f"among {link.devices}" if link.devices else "beyond")
            for link in machine.links
        ]
        lines += [
            f"{machine.name}: {machine.title}; {machine.devices_per_node} × {device.name} a node",
            f"  {device.tflops:g} TFLOP/s in 16 bit, {device.tflops_float32:g} in 32; "
            f"{device.memory:g} GB at {device.bandwidth:g} GB/s"
            + (f"; {device.watts:g} W" if device.watts else ""),
            f"  links, of a device: {', '.join(levels)}",
            f"  matrix products reach {device.efficiency:g} of the peak, {device.fitted}",
            f"  {device.source}",
            f"  {machine.source}",
        ]
    return "\n".join(lines)
