"""A step played slot by slot.

Each stage does its slots in their order. A slot computes, then passes its result on over a link,
and the stage waits for that, as Megatron-LM's blocking sends do; transfers that are on a link at
the same time share it evenly. What a slot needs of its neighbours must have arrived before it
starts.

Tensor ranks of a stage do the same at the same time, and so do replicas, up to the exchange of
gradients: one pipeline stands for all of them, exactly, since nothing here varies between them. So
a step on 16,384 devices costs as much as its pipeline has slots.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tfsci.plan import collectives
from tfsci.plan import step as timing
from tfsci.plan.layout import Layout
from tfsci.plan.machines import Machine
from tfsci.plan.schedule import Slot, order
from tfsci.plan.transformer import Transformer


@dataclass(frozen=True)
class Span:
    """What a stage did.

    Attributes:
        stage: Which.
        start: Seconds from the start of the step.
        end: Likewise; of a slot, when its result has arrived.
        kind: ``"forward"``, ``"backward"``, ``"data"`` or ``"optimizer"``.
        slot: Of the schedule; None of the last two kinds.
    """

    stage: int
    start: float
    end: float
    kind: str
    slot: Slot | None = None


@dataclass(frozen=True)
class Played:
    """A step that was played.

    Attributes:
        spans: What each stage did, in the order in which it ended.
        stages: How many there are.
    """

    spans: tuple[Span, ...]
    stages: int

    @property
    def seconds(self) -> float:
        """When the last stage was done."""
        return max(span.end for span in self.spans)

    @property
    def pipeline_seconds(self) -> float:
        """When the last slot was done."""
        return max(span.end for span in self.spans if span.slot)

    @property
    def bubble(self) -> float:
        """Share of the pipeline's time in which its stages did nothing."""
        busy = sum(span.end - span.start for span in self.spans if span.slot)
        return 1 - busy / self.stages / self.pipeline_seconds

    def occupied(self, columns: int) -> np.ndarray:
        """Returns shares of equal intervals that stages spend forward and backward.

        Args:
            columns: Intervals up to `pipeline_seconds`.

        Returns:
            Of shape (stages, 2, columns).
        """
        times = [([0.0], [0.0]) for _ in range(2 * self.stages)]  # when, and how long until then
        for span in self.spans:
            if span.slot:
                at, until = times[2 * span.stage + span.slot.backward]
                at += (span.start, span.end)
                until += (until[-1], until[-1] + span.end - span.start)
        edges = np.linspace(0, self.pipeline_seconds, columns + 1)
        shares = [np.diff(np.interp(edges, *each)) for each in times]
        return np.reshape(shares, (self.stages, 2, columns)) / edges[1]


class Links:
    """Transfers under way; those on one link share its rate evenly."""

    def __init__(self, rates: dict[Hashable, float]):
        self._rates = rates
        self._left: dict[Hashable, dict[int, float]] = defaultdict(dict)
        self._at: dict[Hashable, float] = defaultdict(float)

    def start(self, link: Hashable, transfer: int, volume: float, now: float) -> None:
        """Puts a transfer on a link."""
        self._advance(link, now)
        self._left[link][transfer] = volume

    def next(self, link: Hashable) -> tuple[float, int] | None:
        """Returns when the first transfer of a link ends if none joins, and which that is."""
        left = self._left[link]
        if not left:
            return None
        first = min(left, key=left.get)
        return self._at[link] + left[first] * len(left) / self._rates[link], first

    def end(self, link: Hashable, transfer: int, now: float) -> None:
        """Takes a transfer away."""
        self._advance(link, now)
        del self._left[link][transfer]

    def _advance(self, link: Hashable, now: float) -> None:
        left = self._left[link]
        if left:
            sent = (now - self._at[link]) * self._rates[link] / len(left)
            for transfer in left:
                left[transfer] -= sent
        self._at[link] = now


def play(
    orders: Sequence[Sequence[Slot]],
    seconds: Callable[[int, Slot], float],
    transfer: Callable[[int, Slot], tuple[Hashable, float]],
    rates: dict[Hashable, float],
    chunks: int = 1,
) -> Played:
    """Plays a pipeline.

    Args:
        orders: What each stage does, see `schedule.order`.
        seconds: Of a stage's slot, without its transfer.
        transfer: The link that a stage's slot then uses, and its bytes there.
        rates: Bytes/s of each link.
        chunks: Of each stage.

    Raises:
        ValueError: The orders wait for each other.
    """
    stages, last = len(orders), len(orders) * chunks - 1
    links, arrived, waiting = Links(rates), set(), {}
    position, begun, spans = [0] * stages, [0.0] * stages, []
    events: list[tuple[float, int, str, int]] = []
    count, on_link, current = 0, {}, {}

    def push(when: float, kind: str, stage: int) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (when, count, kind, stage))

    def needs(slot: Slot, stage: int) -> tuple | None:
        place = slot.chunk * stages + stage
        if not slot.backward:
            return (False, slot.micro_batch, place - 1) if place else None
        if place == last:
            return (False, slot.micro_batch, place)
        return (True, slot.micro_batch, place + 1)

    def begin(stage: int, now: float) -> None:
        if position[stage] == len(orders[stage]):
            return
        slot = orders[stage][position[stage]]
        needed = needs(slot, stage)
        if needed is not None and needed not in arrived:
            waiting[needed] = stage
            return
        begun[stage] = now
        push(now + seconds(stage, slot), "computed", stage)

    def watch(link: Hashable) -> None:
        ending = links.next(link)
        if ending:
            current[link] = ending
            push(ending[0], "sent", ending[1])

    def done(stage: int, now: float) -> None:
        slot = orders[stage][position[stage]]
        kind = "backward" if slot.backward else "forward"
        spans.append(Span(stage, begun[stage], now, kind, slot))
        position[stage] += 1
        result = (slot.backward, slot.micro_batch, slot.chunk * stages + stage)
        arrived.add(result)
        begin(stage, now)
        if result in waiting:
            begin(waiting.pop(result), now)

    for stage in range(stages):
        begin(stage, 0.0)
    while events:
        now, _, kind, stage = heapq.heappop(events)
        if kind == "computed":
            link, volume = transfer(stage, orders[stage][position[stage]])
            if not volume:
                done(stage, now)
                continue
            on_link[stage] = link
            links.start(link, stage, volume, now)
            watch(link)
        elif stage in on_link and current.get(on_link[stage]) == (now, stage):
            link = on_link.pop(stage)
            links.end(link, stage, now)
            watch(link)
            done(stage, now)
    if len(spans) < sum(map(len, orders)):
        raise ValueError("the stages wait for each other: this order can't be played")
    return Played(tuple(spans), stages)


def simulate(model: Transformer, machine: Machine, layout: Layout, shared: bool = False) -> Played:
    """Plays a step of a model.

    Each stage exchanges its gradients when it is done with its slots, and updates then.

    Args:
        model: What to train.
        machine: Where.
        layout: How.
        shared: Whether transfers share a node's ports as they come; otherwise each device has its
            share of them to itself, and every transfer takes `Slots.send`, as in `step.step`.
    """
    slot = timing.slots(model, machine, layout)
    took = timing.step(model, machine, layout)
    p, m, v = layout.pipeline, layout.micro_batches, layout.chunks
    orders = [order(layout.schedule, stage, p, m, v) for stage in range(p)]
    forward = float(slot.forward + slot.tensor_forward)
    backward = float(slot.backward + slot.tensor_backward)
    output = float(slot.output_forward), float(slot.output_backward)
    send = float(slot.send)
    rates, sending, transfer = {}, lambda *_: send, lambda *_: (None, 0.0)
    if shared:
        rates, sending, transfer = _ports(model, machine, layout, send)

    def seconds(stage: int, which: Slot) -> float:
        at_end = stage == p - 1 and which.chunk == v - 1
        computing = (backward if which.backward else forward) + at_end * output[which.backward]
        return computing + sending(stage, which)

    played = play(orders, seconds, transfer, rates, v)
    finished = [0.0] * p
    for span in played.spans:
        finished[span.stage] = span.end
    data, optimizer = float(took.data), float(took.optimizer)
    ends = []
    for stage, end in enumerate(finished):
        ends.append(Span(stage, end, end + data, "data"))
        ends.append(Span(stage, end + data, end + data + optimizer, "optimizer"))
    return Played(played.spans + tuple(ends), p)


def _ports(model: Transformer, machine: Machine, layout: Layout, send: float) -> tuple:
    """Returns how a slot's result gets on where nodes' ports are shared.

    Within a node a stage has its links to itself. Out of it its devices send over the node's ports,
    which its other stages may use at the same time; where one stage fills a node there is nothing
    to share.

    Returns:
        The nodes' rates; seconds of a stage's slot besides computing; link and bytes of its
        transfer.
    """
    p, width = layout.pipeline, layout.tensor * layout.data
    message = 2 * layout.micro_batch * model.sequence * model.hidden / layout.tensor
    node, network = machine.devices_per_node, machine.links[-1]
    slowest = float(collectives.send(machine, p, width, message))
    gathered = send - slowest
    inside = float(collectives.send(machine, 1, width, message)) if width < node else slowest

    def crosses(stage: int, which: Slot) -> bool | None:
        """Whether a slot's result leaves its node; None where it goes nowhere."""
        last = 0 if which.backward else layout.chunks - 1
        target = stage + (-1 if which.backward else 1)
        if not 0 <= target < p and which.chunk == last:
            return None
        return stage * width // node != target % p * width // node

    def seconds(stage: int, which: Slot) -> float:
        match crosses(stage, which):
            case None:
                return 0.0
            case False:
                return inside + gathered
        return gathered + (slowest if width >= node else network.latency * 1e-6)

    def transfer(stage: int, which: Slot) -> tuple[Hashable, float]:
        shares = width < node and crosses(stage, which)
        return stage * width // node, message * width if shares else 0.0

    return dict.fromkeys(range(-(-p * width // node)), network.rate * node), seconds, transfer
