"""What the answers are as JSON: plain numbers and texts."""

import dataclasses

import numpy as np

from tfsci.plan import network as networks
from tfsci.plan.check import Checked
from tfsci.plan.layout import Layout
from tfsci.plan.machines import Machine
from tfsci.plan.memory import Memory, memory
from tfsci.plan.network import Network
from tfsci.plan.scaling import Point
from tfsci.plan.search import Found
from tfsci.plan.step import Step, step
from tfsci.plan.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class Plan:
    """A model on a machine in one layout.

    Attributes:
        model: What is trained.
        machine: Where.
        layout: How.
        step: Seconds.
        memory: Bytes of a device.
    """

    model: Transformer | Network
    machine: Machine
    layout: Layout
    step: Step
    memory: Memory

    @classmethod
    def of(cls, model: Transformer | Network, machine: Machine, layout: Layout) -> "Plan":
        """Works out time and memory."""
        if isinstance(model, Network):
            took, needs = networks.step(model, machine, layout), networks.memory(model, layout)
        else:
            took, needs = step(model, machine, layout), memory(model, layout)
        return cls(model, machine, layout, took, needs)

    @property
    def over(self) -> float:
        """Bytes that a device lacks; below 0 where it fits."""
        return float(self.memory.total) - self.machine.device.usable

    @property
    def samples_per_second(self) -> float:
        """Of all devices."""
        return self.layout.global_batch / float(self.step.seconds)

    @property
    def tokens_per_second(self) -> float | None:
        """Of all devices; None where samples have no tokens."""
        if isinstance(self.model, Network) or self.model.style == "vit":
            return None
        return self.model.sequence * self.samples_per_second

    @property
    def name(self) -> str:
        """What to call the model."""
        return self.model.name or "a model"

    @property
    def parameters(self) -> int:
        """Of the model."""
        return self.model.parameters

    def training(self, tokens: float) -> dict[str, float | None]:
        """Returns days, device-hours and MWh of a training, devices alone."""
        if not self.tokens_per_second:
            raise ValueError("--tokens: samples of this model have no tokens")
        hours = tokens / self.tokens_per_second / 3600
        watts = self.machine.device.watts
        energy = hours * self.layout.devices * watts / 1e6 if watts else None
        return {
            "tokens": tokens,
            "days": hours / 24,
            "device_hours": hours * self.layout.devices,
            "megawatt_hours": energy,
        }

    def json(self) -> dict:
        """Returns all of it."""
        took = self.step
        return {
            "model": self.model.name,
            "machine": self.machine.name,
            "device": self.machine.device.name,
            "layout": dataclasses.asdict(self.layout) | {"devices": self.layout.devices},
            "parameters": self.parameters,
            "parameters_per_device": float(self.memory.parameters),
            "flops_per_step": float(took.flops),
            "model_flops_per_step": float(took.model_flops),
            "step_seconds": float(took.seconds),
            "parts_seconds": {name: float(value) for name, value in took.parts.items()},
            "tflops_per_device": float(took.flops_per_device) / 1e12,
            "utilisation": float(took.utilisation),
            "model_utilisation": float(took.model_utilisation),
            "samples_per_second": self.samples_per_second,
            "tokens_per_second": self.tokens_per_second,
            "memory_per_device_bytes": float(self.memory.total),
            "memory_parts_bytes": {name: float(v) for name, v in self.memory.parts.items()},
            "usable_memory_bytes": self.machine.device.usable,
            "fits": self.over <= 0,
            "bubble_fraction": float(self.layout.bubble),
        }


def search_json(model: Transformer, machine: Machine, found: Found, number: int) -> dict:
    """Returns the best layouts, and what those after the first lose."""
    rows = []
    for index in found.best(number):
        plan = Plan.of(model, machine, found.layouts.at(index))
        rows.append(plan.json() | {"loses": found.why(index)})
    return {"tried": len(found), "fit": int(found.ranking.size), "best": rows}


def scaling_json(points: list[Point]) -> list[dict]:
    """Returns the points of a curve."""
    return [
        {**vars(point), "layout": point.layout and dataclasses.asdict(point.layout)}
        for point in points
    ]


def check_json(checked: Checked) -> dict:
    """Returns what was found in a script."""
    launch, best = checked.launch, checked.helps_most
    return {
        "script": str(checked.path),
        "machine": checked.machine.name,
        "nodes": launch.nodes,
        "ranks": launch.ranks,
        "parameters": checked.model and checked.model.parameters,
        "layout": checked.layout and dataclasses.asdict(checked.layout),
        "micro_batches": checked.layout and checked.layout.micro_batches,
        "bubble_fraction": checked.bubble,
        "step_seconds": checked.step and float(checked.step.seconds),
        "findings": [dataclasses.asdict(finding) for finding in checked.findings],
        "helps_most": best and dataclasses.asdict(best),
    }


def plain(value: object) -> object:
    """Returns a NumPy number as Python's, for `json.dumps`."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} is no JSON")
