"""What a machine could do, and how much of it a training step does: the roofline model.

After Williams, Waterman and Patterson (2009), doi:10.1145/1498765.1498785: a program that does I
operations for each byte that it moves to or from memory can't do more than

    min(rate of matrix products, I × memory bandwidth)

operations a second. The two roofs meet at the *ridge*.

The operations of a step are three times those of a forward pass, `tfsci.models.cost`. Its bytes are
what has to move at least, where the caches hold nothing from one layer to the next: activations,
and the input, go over the wire twice (written, or read, forward; read backward); of each parameter
40 bytes do with Adam: read forward and backward (8), its gradient written and read (8), both
averages (16) and itself (8) read and written in the update.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfsci.training.run_folder import replacing

if TYPE_CHECKING:
    from tfsci.models.cost import Cost

_PARAMETER_BYTES = 40
# Below this share of its roof something else limits a step.
_FAR = 0.35


@dataclass(frozen=True)
class Machine:
    """What a machine reaches, measured.

    Attributes:
        matrix_flops_per_second: In matrix products.
        memory_bytes_per_second: Bytes read and written, as STREAM counts them.
        precision: Keras' dtype policy whose products were measured.
        threads: That were used.
        device: ``"CPU"`` or ``"GPU"``.
    """

    matrix_flops_per_second: float
    memory_bytes_per_second: float
    precision: str
    threads: int
    device: str = "CPU"

    @property
    def ridge(self) -> float:
        """Operations a byte from which on memory is no limit."""
        return self.matrix_flops_per_second / self.memory_bytes_per_second

    def roof(self, intensity: float) -> float:
        """Returns the operations a second that so many operations a byte allow."""
        return min(self.matrix_flops_per_second, intensity * self.memory_bytes_per_second)


@dataclass(frozen=True)
class Step:
    """A training step of a model, measured.

    Attributes:
        name: Of the model.
        batch_size: Samples in it.
        flops: Operations of the step.
        bytes: That it moves, at least.
        seconds: It took.
    """

    name: str
    batch_size: int
    flops: float
    bytes: float
    seconds: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes

    @property
    def flops_per_second(self) -> float:
        """Operations a second."""
        return self.flops / self.seconds

    def utilisation(self, machine: Machine) -> float:
        """Returns the share of its roof that it reaches."""
        return self.flops_per_second / machine.roof(self.intensity)

    def finding(self, machine: Machine) -> str:
        """Returns in words what limits it."""
        share = self.utilisation(machine)
        percent = f"{100 * share:.0f} %"
        is_memory = self.intensity < machine.ridge
        roof = "memory bandwidth" if is_memory else "the matrix rate"
        if share > 1.05:
            why = (
                "the caches hold much of what is counted as moved"
                if is_memory
                else "the machine was busy with other work when that was measured; measure again"
            )
            return f"{self.name}: {share:.1f} times what {roof} allows: {why}"
        if share < _FAR:
            return (
                f"{self.name}: neither roof limits it, it reaches {percent} of {roof}; small "
                "operations do, and starting them: a larger batch, or tfsci profile report DIR"
            )
        more = (
            "more operations a byte would help: a larger batch, mixed precision, XLA"
            if is_memory
            else "lower precision or more cores would help"
        )
        return f"{self.name}: {roof} limits it, it reaches {percent} of that; {more}"


def step_flops(cost: "Cost", batch_size: int) -> float:
    """Returns the operations of a training step."""
    return 3.0 * cost.flops * batch_size


def step_bytes(cost: "Cost", batch_size: int) -> float:
    """Returns the bytes that a training step moves at least, with Adam."""
    sample = 4 * math.prod(cost.input_shape) + cost.activations
    return 2.0 * sample * batch_size + _PARAMETER_BYTES * cost.parameters


def report(machine: Machine, steps: list[Step]) -> str:
    """Returns both roofs, a row for each step, and in words what limits it."""
    lines = [
        f"{machine.device}, {machine.threads} thread{'s' * (machine.threads > 1)}, "
        f"{machine.precision}: {machine.matrix_flops_per_second / 1e9:,.1f} GFLOP/s in matrix "
        f"products, {machine.memory_bytes_per_second / 1e9:,.1f} GB/s to and from memory",
        f"they meet at {machine.ridge:.1f} operations a byte: with fewer, memory is the limit",
    ]
    if not steps:
        return "\n".join(lines)
    row = "{:20}{:>7}{:>11}{:>9}{:>11}{:>10}{:>10}{:>7}"
    lines += ["", row.format("a training step", "batch", "GFLOP", "GB", "FLOP/byte", "roof",
                             "GFLOP/s", "share")]  # fmt: skip
    for step in steps:
        lines.append(
            row.format(
                step.name, step.batch_size, f"{step.flops / 1e9:,.2f}", f"{step.bytes / 1e9:,.3f}",
                f"{step.intensity:,.1f}", f"{machine.roof(step.intensity) / 1e9:,.1f}",
                f"{step.flops_per_second / 1e9:,.1f}", f"{step.utilisation(machine):.0%}",
            )
        )  # fmt: skip
    return "\n".join([*lines, "", *(step.finding(machine) for step in steps)])


def write_json(path: str | Path, machine: Machine, steps: list[Step]) -> None:
    """Writes what was measured, whole or not at all."""
    found = {**asdict(machine), "models": [asdict(step) for step in steps]}
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")
