"""All layouts of a model on a machine, best first."""

from dataclasses import dataclass, replace

import numpy as np

from tfsci.plan.layout import Layout, divisors
from tfsci.plan.machines import Machine
from tfsci.plan.memory import Memory, memory
from tfsci.plan.step import Step, step
from tfsci.plan.transformer import RECOMPUTE, Transformer

# Layouts that are tried at most; a million take about a second and a gigabyte.
_MOST = 10**6


@dataclass(frozen=True)
class Found:
    """What a search looked at.

    Attributes:
        layouts: All that divide, as one `Layout` of arrays.
        step: Their times.
        memory: Their memory.
        usable: Bytes that a device may fill.
        ranking: Indices of those that fit, fastest first; among equals those that need less.
    """

    layouts: Layout
    step: Step
    memory: Memory
    usable: float
    ranking: np.ndarray

    def __len__(self) -> int:
        return self.layouts.tensor.size

    def best(self, number: int = 10) -> list[int]:
        """Returns the indices of the best, of each shape (t, p, b, v) the best alone."""
        chosen, seen = [], set()
        for index in self.ranking:
            layout = self.layouts.at(index)
            shape = (layout.tensor, layout.pipeline, layout.micro_batch, layout.chunks)
            if shape not in seen:
                seen.add(shape)
                chosen.append(int(index))
            if len(chosen) == number:
                break
        return chosen

    def why(self, index: int) -> str:
        """Returns what a layout loses against the best, in words."""
        best = self.ranking[0]
        if index == best:
            return "the best"
        return loses(
            {k: v[best] for k, v in self.parts.items()},
            {k: v[index] for k, v in self.parts.items()},
        )

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Seconds of all layouts by name."""
        return {k: np.broadcast_to(v, len(self)) for k, v in self.step.parts.items()}

    def shortage(self) -> tuple[int, float]:
        """Returns the layout that needs least memory, and how many bytes it is over."""
        total = np.broadcast_to(self.memory.total, len(self))
        index = int(np.argmin(total))
        return index, float(total[index] - self.usable)


NAMES = {
    "compute": "computing",
    "again": "computing again",
    "tensor": "tensor all-reduces",
    "send": "sends between stages",
    "bubble": "pipeline bubble",
    "data": "gradient exchange",
    "optimizer": "optimizer",
}


def loses(best: dict[str, float], other: dict[str, float]) -> str:
    """Returns the part that most slows one step against another, in words."""
    part = max(best, key=lambda name: other[name] - best[name])
    more = (other[part] - best[part]) / sum(best.values())
    return f"{NAMES[part]} +{more:.1%}" if more >= 0.0005 else "as good"


def search(
    model: Transformer,
    machine: Machine,
    devices: int,
    global_batch: int,
    flash: bool = False,
    **fixed: object,
) -> Found:
    """Tries all layouts that divide.

    GPipe is left out: 1F1B takes the same time and never more memory.

    Args:
        model: What to train.
        machine: Where.
        devices: On how many.
        global_batch: Samples of a step.
        flash: Whether attention is one operation.
        **fixed: Fields of `Layout` that are given.

    Raises:
        ValueError: Nothing divides, or nothing fits; the message says what is short, and how many
            devices would do.
    """
    found = evaluate(model, machine, layouts(model, devices, global_batch, flash, **fixed))
    if not found.ranking.size:
        raise ValueError(_nothing_fits(model, machine, devices, global_batch, found))
    return found


def evaluate(model: Transformer, machine: Machine, tried: Layout) -> Found:
    """Returns times and memory of layouts, ranked."""
    took, needs = step(model, machine, tried), memory(model, tried)
    usable = machine.device.usable
    seconds = np.broadcast_to(took.seconds, tried.tensor.shape)
    total = np.broadcast_to(needs.total, tried.tensor.shape)
    fit = np.flatnonzero(total <= usable)
    ranking = fit[np.lexsort((total[fit], np.round(seconds[fit], 12)))]
    return Found(tried, took, needs, usable, ranking)


def layouts(
    model: Transformer, devices: int, global_batch: int, flash: bool = False, **fixed: object
) -> Layout:
    """Returns all layouts that divide, as one of arrays."""
    shapes = []
    for t in divisors(devices):
        keys = model.key_value_heads or model.heads
        if model.heads % t or (t < keys and keys % t) or model.inner % t:
            continue
        for p in divisors(devices // t):
            d = devices // t // p
            if model.layers % p or global_batch % d:
                continue
            for b in divisors(global_batch // d):
                m = global_batch // d // b
                interleaved = p > 1 and m % p == 0
                if b != fixed.get("micro_batch", b):
                    continue
                for v in divisors(model.layers // p) if interleaved else [1]:
                    shapes.append((t, p, d, b, v))
    names = ("tensor", "pipeline", "data", "micro_batch", "chunks")
    rows = np.array(shapes, np.int64).reshape(-1, 5)
    extras = [(r, s, z) for r in range(3) for s in (False, True) for z in range(4)]
    if len(rows) * len(extras) > _MOST:
        raise ValueError(
            f"{devices} devices and a batch of {global_batch} divide in {len(rows):,} ways, too "
            "many to try; give --micro-batch, or a batch with fewer divisors"
        )
    columns = dict(zip(names, np.repeat(rows, len(extras), axis=0).T, strict=True))
    again, split, zero = np.tile(np.array(extras).T, len(rows))
    columns |= {"sequence_parallel": split.astype(bool), "zero": zero}
    columns["recompute"] = np.array(RECOMPUTE)[again]
    sensible = ~columns["sequence_parallel"] | (
        (columns["tensor"] > 1) & (model.sequence % columns["tensor"] == 0)
    )
    sensible &= (zero == 0) | (columns["data"] > 1)
    sensible &= (zero < 2) | (columns["pipeline"] == 1)
    if model.style == "vit":  # the class token leaves a sequence that hardly anything divides
        sensible &= ~columns["sequence_parallel"]
    for name, value in fixed.items():
        sensible &= columns[name] == value
    if not sensible.any():
        given = ", ".join(f"{name} {value}" for name, value in fixed.items())
        raise ValueError(
            f"no layout of {devices} devices divides {model.heads} heads, {model.layers} layers "
            f"and a batch of {global_batch}{' with ' + given if given else ''}; try devices or a "
            "batch with more divisors, such as powers of 2"
        )
    return Layout(
        **{name: column[sensible] for name, column in columns.items()},
        global_batch=global_batch,
        flash=flash,
    )


def smallest(
    model: Transformer, machine: Machine, global_batch: int, flash: bool = False
) -> int | None:
    """Returns the least number of devices on which a model fits; None where that is none."""
    most = machine.nodes * machine.devices_per_node if machine.nodes else 2**17
    split = [t for t in divisors(model.heads) if model.inner % t == 0]
    rows = []
    for t in split:
        for p in divisors(model.layers):
            for d in divisors(global_batch):
                if t * p * d <= most:
                    together = t > 1 and model.style != "vit" and model.sequence % t == 0
                    zero = 0 if d == 1 else 3 if p == 1 else 1
                    rows.append((t, p, d, together, zero))
    t, p, d, together, zero = np.array(rows).T
    tried = Layout(
        t, p, d, 1, global_batch, sequence_parallel=together.astype(bool), flash=flash, zero=zero
    )
    fits = memory(model, tried).total <= machine.device.usable
    return int(tried.devices[fits].min()) if fits.any() else None


def _nothing_fits(model, machine, devices, global_batch, found: Found) -> str:
    index, over = found.shortage()
    enough = smallest(model, machine, global_batch, bool(np.any(found.layouts.flash)))
    advice = (
        f"the smallest number of devices that fits is {enough:,}"
        if enough
        else f"no number of devices of {machine.name} fits"
    )
    needs = np.broadcast_to(found.memory.total, len(found))[index]
    return (
        f"{model.name or 'the model'} does not fit on {devices} × {machine.device.name}: the "
        f"layout that needs least ({found.layouts.at(index)}) needs {needs / 1e9:.1f} GB of "
        f"{found.usable / 1e9:.1f} GB, {over / 1e9:.1f} GB too much; {advice}"
    )


def improve(model: Transformer, machine: Machine, layout: Layout) -> tuple[Layout, Step]:
    """Returns the best layout of as many devices and samples, and its time."""
    found = search(model, machine, layout.devices, layout.global_batch, bool(layout.flash))
    index = found.ranking[0]
    best = found.layouts.at(index)
    return best, step(model, machine, replace(best))
