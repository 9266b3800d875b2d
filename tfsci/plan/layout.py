"""How a model is laid over devices: tensor × pipeline × data, and what goes with it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfsci.plan.transformer import RECOMPUTE, Transformer

SCHEDULES = ("gpipe", "1f1b")

# Of devices and of samples; there is no such machine, nor such a batch.
LARGEST = 10**7


@dataclass(frozen=True)
class Layout:
    """A layout; or many, where fields are NumPy arrays.

    Ranks count as in Megatron-LM: tensor ranks are neighbours, then data, then pipeline.

    Attributes:
        tensor: Devices that share each layer, t.
        pipeline: Stages, p.
        data: Replicas, d.
        micro_batch: Samples that go through the pipeline at once, b.
        global_batch: Samples of a step, over all replicas.
        chunks: Parts of each stage, v; above 1 the schedule is interleaved (Narayanan 2021).
        schedule: ``"1f1b"``, or ``"gpipe"``: all forward passes first.
        recompute: What is computed again in the backward pass: ``"none"``, ``"selective"``
            (attention's scores, Korthikanti 2022) or ``"full"`` (the layer).
        sequence_parallel: Whether tensor ranks share norms and dropout too (Korthikanti 2022).
        flash: Whether attention is one operation that never writes its scores.
        zero: What replicas share of their state (Rajbhandari 2020): 0 nothing, 1 the optimizer's,
            2 gradients too, 3 weights too.
    """

    tensor: Any = 1
    pipeline: Any = 1
    data: Any = 1
    micro_batch: Any = 1
    global_batch: Any = 1
    chunks: Any = 1
    schedule: Any = "1f1b"
    recompute: Any = "full"
    sequence_parallel: Any = False
    flash: Any = False
    zero: Any = 0

    @property
    def devices(self):
        """Devices in all."""
        return self.tensor * self.pipeline * self.data

    @property
    def micro_batches(self):
        """Micro-batches of each pipeline in a step, m."""
        return self.global_batch // (self.data * self.micro_batch)

    @property
    def in_flight(self):
        """Micro-batches whose activations the first stage holds at once, at most.

        All with GPipe; p with 1F1B; p + (p - 1)/v interleaved (Korthikanti 2022, section 4.2.3).
        """
        p, v = np.asarray(self.pipeline), self.chunks
        deepest = np.where(self.schedule == "gpipe", np.inf, p + np.where(v > 1, (p - 1) / v, 0))
        return np.minimum(self.micro_batches, deepest)

    @property
    def bubble(self):
        """Share of a step in which a device waits for the pipeline, by the closed form.

        (p - 1)/v slots of waiting beside m of work: Narayanan 2021, section 2.2, whose fraction is
        of the work; this one is of the whole.
        """
        waiting = (self.pipeline - 1) / self.chunks
        return waiting / (self.micro_batches + waiting)

    def at(self, index: int) -> "Layout":
        """Returns one of many layouts, with plain numbers."""
        chosen = {}
        for name, value in vars(self).items():
            value = value[index] if isinstance(value, np.ndarray) and value.ndim else value
            chosen[name] = value.item() if isinstance(value, np.generic) else value
        return replace(self, **chosen)

    def __str__(self):
        parts = [f"tensor {self.tensor}", f"pipeline {self.pipeline}", f"data {self.data}"]
        parts.append(f"micro-batch {self.micro_batch}")
        if self.chunks > 1:
            parts.append(f"{self.chunks} chunks a stage")
        if self.schedule == "gpipe":
            parts.append("GPipe")
        parts.append(
            {"none": "no recomputation"}.get(self.recompute, f"{self.recompute} recomputation")
        )
        if self.sequence_parallel:
            parts.append("sequence parallel")
        if self.zero:
            parts.append(f"ZeRO {self.zero}")
        return ", ".join(parts)


def validate(model: Transformer, layout: Layout) -> None:
    """Raises a ValueError that says what does not divide, with what would."""
    for name in ("tensor", "pipeline", "data", "micro_batch", "global_batch", "chunks"):
        if not 1 <= getattr(layout, name) <= LARGEST:
            raise ValueError(f"{name}: expected 1 to 10⁷, got {getattr(layout, name)}")
    if layout.recompute not in RECOMPUTE:
        raise ValueError(f"recompute: expected {', '.join(RECOMPUTE)}; got {layout.recompute!r}")
    if layout.schedule not in SCHEDULES:
        raise ValueError(f"schedule: expected {' or '.join(SCHEDULES)}; got {layout.schedule!r}")
    if layout.zero not in range(4):
        raise ValueError(f"ZeRO: expected a stage of 0 to 3, got {layout.zero}")
    _divides("tensor", layout.tensor, "heads", model.heads)
    if model.key_value_heads and layout.tensor < model.key_value_heads:
        _divides("tensor", layout.tensor, "key-value heads", model.key_value_heads)
    _divides("tensor", layout.tensor, "the feed-forward width", model.inner)
    _divides("pipeline", layout.pipeline, "layers", model.layers)
    per_stage = model.layers // layout.pipeline
    if layout.chunks > 1:
        if layout.pipeline == 1 or layout.schedule == "gpipe":
            raise ValueError("an interleaved schedule needs 2 or more pipeline stages, and 1F1B")
        _divides("chunks of a stage", layout.chunks, "layers of a stage", per_stage)
    if layout.sequence_parallel:
        _divides("tensor", layout.tensor, "the sequence", model.sequence)
    if layout.zero >= 2 and layout.pipeline > 1:
        raise ValueError(
            f"ZeRO {layout.zero} with {layout.pipeline} pipeline stages: expected ZeRO 0 or 1, as "
            "in DeepSpeed: gradients of all micro-batches are added up before they are exchanged"
        )
    share = layout.data * layout.micro_batch
    if layout.global_batch % share:
        below = layout.global_batch // share * share
        nearest = f"{below} or {below + share}" if below else f"{share}"
        raise ValueError(
            f"global batch {layout.global_batch} is not a multiple of data {layout.data} × "
            f"micro-batch {layout.micro_batch} = {share}; {nearest} is"
        )
    if layout.chunks > 1 and layout.micro_batches % layout.pipeline:
        raise ValueError(
            f"the interleaved schedule needs micro-batches ({layout.micro_batches}) that "
            f"{layout.pipeline} pipeline stages divide"
        )


def _divides(name: str, divisor: int, of: str, number: int) -> None:
    if number % divisor:
        good = [d for d in divisors(number) if d <= 4 * divisor]
        raise ValueError(
            f"{name} {divisor} does not divide {of} ({number}); "
            f"{', '.join(map(str, good))} {'do' if len(good) > 1 else 'does'}"
        )


def divisors(number: int) -> list[int]:
    """Returns all that divide a number, in order."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})
