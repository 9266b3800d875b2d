"""How long a step takes on a machine.

Matrix products run at the device's fitted share of its peak, all other operations at the rate of
its memory, and each collective at that of the links it crosses; what can overlap is said at each
part. `Step` adds them up for the pipeline's slots; `simulator` plays the same slots one by one.
All of it works on arrays of layouts as on one.
"""

from dataclasses import dataclass

import numpy as np

from tfsci.plan import collectives
from tfsci.plan.layout import Layout
from tfsci.plan.machines import Machine
from tfsci.plan.memory import (
    GRADIENT,
    OPTIMIZER,
    WEIGHT,
    layer_activations,
    output_activations,
    stage_parameters,
)
from tfsci.plan.transformer import Transformer

# What operations on memory reach of its bandwidth: STREAM's share on GPUs, and what Calculon (Isaev
# 2023, github.com/calculon-ai/calculon, systems/a100_80g.json) takes for more than 100 MB.
MEMORY_EFFICIENCY = 0.9

# Bytes of gradients that are exchanged at once, while the backward pass goes on.
BUCKET = 64 * 2**20


@dataclass(frozen=True)
class Slots:
    """Seconds of a micro-batch in one chunk of a stage, or arrays of them.

    Attributes:
        forward: Matrix products and all else, without communication.
        backward: Likewise, with what is computed again.
        again: The part of `backward` that is computed again.
        tensor_forward: All-reduces among tensor ranks.
        tensor_backward: Likewise.
        send: Passing activations, or their gradients, on to the next stage.
        output_forward: The logits and the loss, on the last stage besides.
        output_backward: Likewise.
    """

    forward: object
    backward: object
    again: object
    tensor_forward: object
    tensor_backward: object
    send: object
    output_forward: object
    output_backward: object

    @property
    def pair(self):
        """Of a forward and a backward pass, with their communication."""
        computed = self.forward + self.backward + self.tensor_forward + self.tensor_backward
        return computed + 2 * self.send

    @property
    def output(self):
        """What the last stage has more to do."""
        return self.output_forward + self.output_backward


@dataclass(frozen=True)
class Step:
    """Seconds of a step, in parts that add up; or arrays of them.

    Attributes:
        compute: Matrix products and all else that is not communication.
        again: Computing again what was not kept.
        tensor: All-reduces among tensor ranks.
        send: Between pipeline stages.
        bubble: Waiting for the pipeline, and for its last stage, which has the logits besides.
        data: Exchange of gradients and weights among replicas, as far as nothing hides it.
        optimizer: Updating.
        flops: Operations of the step, over all devices.
        model_flops: Those of them that are not computed again.
        devices: How many share it.
        peak: Operations/s of one.
    """

    compute: object
    again: object
    tensor: object
    send: object
    bubble: object
    data: object
    optimizer: object
    flops: object
    model_flops: object
    devices: object
    peak: float

    @property
    def parts(self) -> dict[str, object]:
        """Seconds by name."""
        names = ("compute", "again", "tensor", "send", "bubble", "data", "optimizer")
        return {name: getattr(self, name) for name in names}

    @property
    def seconds(self):
        """Of the whole step."""
        return sum(self.parts.values())

    @property
    def flops_per_device(self):
        """Operations/s of a device, those computed again among them, as published tables count."""
        return self.flops / self.seconds / self.devices

    @property
    def utilisation(self):
        """Those, as a share of the peak."""
        return self.flops_per_device / self.peak

    @property
    def model_utilisation(self):
        """Without what is computed again, as a share of the peak."""
        return self.model_flops / self.seconds / self.devices / self.peak


def slots(model: Transformer, machine: Machine, layout: Layout) -> Slots:
    """Returns how long a micro-batch takes in a chunk of a stage.

    Each number that a layer keeps is written by one operation and read by another, at the rate of
    the memory; so a forward pass moves twice the activations of Korthikanti's equation 2, and a
    backward pass twice as much. Matrix products take what `_products` says.
    """
    t, b = layout.tensor, np.asarray(layout.micro_batch, float)  # products are beyond 64 bits
    layers = model.layers / layout.pipeline / layout.chunks
    rate = machine.device.peak * machine.device.efficiency
    memory_rate = machine.device.bandwidth * 1e9 * MEMORY_EFFICIENCY
    forward_products, backward_products = _products(model, machine, layout)
    scores = model.attention_flops(b) / t / rate
    kept = layer_activations(model, layout, recompute="none")
    without = layer_activations(model, layout, recompute="selective")
    other = 2 * kept / memory_rate
    forward = layers * (forward_products + scores + other)
    again = np.where(
        np.equal(layout.recompute, "full"),
        forward,
        np.where(
            np.equal(layout.recompute, "selective"),
            layers * (scores + 2 * (kept - without) / memory_rate),
            0.0,
        ),
    )

    # Two all-reduces forward, two backward, of 2bsh bytes (Narayanan 2021, section 3.2); with
    # sequence parallelism a gather and a scatter each, which carry as much.
    message = 2 * b * model.sequence * model.hidden
    tensor = layers * 2 * collectives.all_reduce(machine, t, 1, message)
    twice = np.where(np.equal(layout.recompute, "full"), 2, 1)

    # Each tensor rank sends its share, and the next stage gathers them (Narayanan 2021, section
    # 4.1); with sequence parallelism there is nothing to gather.
    stride = np.asarray(t) * layout.data
    gathered = np.where(layout.sequence_parallel, 0, collectives.gather(machine, t, 1, message))
    send = collectives.send(machine, layout.pipeline, stride, message / t) + gathered
    send = np.where(np.asarray(layout.pipeline) > 1, send, 0)

    tokens = b * model.output_tokens
    shape = (tokens, model.hidden, model.vocabulary / t)
    output_forward, output_backward = _product(machine, *shape)
    written = 2 * output_activations(model, layout) / memory_rate
    return Slots(
        forward=forward,
        backward=layers * (backward_products + 2 * (scores + other)) + again,
        again=again,
        tensor_forward=tensor,
        tensor_backward=tensor * twice,
        send=send,
        output_forward=output_forward + written,
        output_backward=output_backward + 2 * written,
    )


def _products(model: Transformer, machine: Machine, layout: Layout) -> tuple:
    """Returns the seconds of a layer's matrix products, forward and backward."""
    t, tokens = layout.tensor, np.asarray(layout.micro_batch, float) * model.sequence
    h, inner = model.hidden, model.inner
    expansions = 2 if model.style == "llama" else 1
    shapes = (
        (h, h * (1 + 2 * model.queries_to_keys) / t),
        (h / t, h),
        *[(h, inner / t)] * expansions,
        (inner / t, h),
    )
    times = [_product(machine, tokens, *shape) for shape in shapes]
    return sum(forward for forward, _ in times), sum(backward for _, backward in times)


def _product(machine: Machine, rows, inner, columns) -> tuple:
    """Returns the seconds of a matrix product, and of the two of its backward pass.

    (rows × inner) · (inner × columns) takes 2 · rows · inner · columns operations. An element of
    the result costs as much as `overhead` products more, whatever the length of its sum; backward
    the sums are as long as `columns` and `rows`. Where reading the weights takes longer, that.
    """
    device = machine.device
    flops = 2.0 * rows * inner * columns / (device.peak * device.efficiency)
    read = WEIGHT * inner * columns / (device.bandwidth * 1e9 * MEMORY_EFFICIENCY)
    forward = np.maximum(flops * (1 + device.overhead / inner), read)
    gradients = (flops * (1 + device.overhead / length) for length in (columns, rows))
    return forward, sum(np.maximum(seconds, read) for seconds in gradients)


def step(model: Transformer, machine: Machine, layout: Layout) -> Step:
    """Returns the parts of a step.

    Its pipeline takes m v + p - 1 slots (GPipe and 1F1B: v = 1), those of the last stage being
    longer by the logits.
    """
    slot = slots(model, machine, layout)
    m, v, p = layout.micro_batches, layout.chunks, np.asarray(layout.pipeline)
    work = m * v
    again = work * slot.again
    own = m * slot.output / p  # each device's share; that it is one device's makes the others wait
    compute = work * (slot.forward + slot.backward) - again + own
    samples = np.asarray(layout.global_batch, float)  # operations are more than 64 bits count
    flops = np.select(
        [np.equal(layout.recompute, "none"), np.equal(layout.recompute, "selective")],
        [model.step_flops(samples, "none"), model.step_flops(samples, "selective")],
        model.step_flops(samples, "full"),
    )
    return Step(
        compute=compute,
        again=again,
        tensor=work * (slot.tensor_forward + slot.tensor_backward),
        send=work * 2 * slot.send,
        bubble=(p - 1) * slot.pair + m * slot.output - own,
        data=_exchange(model, machine, layout, slot),
        optimizer=_update(model, machine, layout),
        flops=flops,
        model_flops=model.model_flops(samples),
        devices=layout.devices,
        peak=machine.device.peak,
    )


def exposed(seconds, volume, backward, head=0.0):
    """Returns how much of an exchange goes on when the backward pass has ended.

    Gradients are exchanged in buckets of 64 MiB, Horovod's (arXiv 1802.05799, section 4), each as
    soon as it is full and the one before is through. They come evenly over the backward pass, but
    for those of the last layers, `head`, which come at once.

    Args:
        seconds: Of the whole exchange.
        volume: Its bytes.
        backward: Seconds of the backward pass.
        head: Bytes that are there at once.
    """
    volume, seconds = np.asarray(volume, float), np.asarray(seconds, float)
    buckets = np.maximum(1, np.ceil(volume / BUCKET))
    each = seconds / buckets
    # The i-th is ready at r(i), and after it come n - i + 1. As r grows in a straight line from the
    # first that is not all head, only that one, the first of all and the last may be late.
    late = []
    for i in (1.0, np.minimum(buckets, np.floor(head / BUCKET) + 1), buckets):
        share = (i / buckets * volume - head) / np.maximum(volume - head, 1)
        late.append(backward * np.clip(share, 0, 1) + (buckets - i + 1) * each)
    return np.maximum(np.max(np.broadcast_arrays(*late), axis=0) - backward, 0)


def _exchange(model: Transformer, machine: Machine, layout: Layout, slot: Slots):
    """Returns the seconds of gradients and weights among replicas that nothing hides.

    Without a pipeline gradients go while the last backward pass computes; with one when it has
    drained, as in Megatron-LM. ZeRO 1 and 2 scatter gradients and gather weights, as much as an
    all-reduce; ZeRO 2 scatters those of each micro-batch; ZeRO 3 gathers weights twice a
    micro-batch (Rajbhandari 2020, section 7).
    """
    zero, m = np.asarray(layout.zero), layout.micro_batches
    held = stage_parameters(model, layout)
    volume = GRADIENT * held
    alone = np.asarray(layout.pipeline) == 1
    # In buckets where something hides them, at once where not; layer by layer in ZeRO 3.
    pieces = np.where(alone, np.ceil(volume / BUCKET), 1)
    pieces = np.where(zero == 3, model.layers / np.asarray(layout.pipeline), pieces)
    half = pieces * collectives.gather(machine, layout.data, layout.tensor, volume / pieces)
    backward = slot.backward + slot.tensor_backward
    hidden = np.where(alone, backward, 0)
    scatter, reduce = exposed(half, volume, hidden), exposed(2 * half, volume, hidden)
    computed = slot.forward + slot.tensor_forward + backward
    return np.select(
        [zero == 0, zero == 1, zero == 2],
        [reduce, scatter + half, m * scatter + half],
        m * (scatter + np.maximum(2 * half - computed, 0)),
    )


def _update(model: Transformer, machine: Machine, layout: Layout):
    """Returns the seconds of Adam: all of a parameter's state is read and written."""
    share = np.where(np.asarray(layout.zero) >= 1, layout.data, 1)
    moved = 2 * (WEIGHT + GRADIENT + OPTIMIZER) * stage_parameters(model, layout) / share
    return moved / (machine.device.bandwidth * 1e9 * MEMORY_EFFICIENCY)
