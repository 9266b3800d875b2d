"""Any model that is trained data-parallel, given what it holds and computes."""

from dataclasses import dataclass, field

import numpy as np

from tfsci.plan import collectives
from tfsci.plan.layout import Layout
from tfsci.plan.machines import Machine
from tfsci.plan.memory import Memory
from tfsci.plan.step import BUCKET, MEMORY_EFFICIENCY, Step, exposed

# In single precision with Adam: weight, gradient, momentum and variance.
_WEIGHT, _GRADIENT, _OPTIMIZER = 4, 4, 8


@dataclass(frozen=True)
class Network:
    """A model of which only sums are known; `tfsci models` prints them for Keras models.

    Attributes:
        name: What to call it.
        parameters: Numbers that are trained.
        flops: Operations of a forward pass on one sample.
        activations: Bytes that a forward pass keeps of one sample.
        head_parameters: Those of the last dense layers, whose gradients are there first.
        rates: Samples/s measured on one device, by its name.
    """

    name: str
    parameters: int
    flops: float
    activations: float = 0.0
    head_parameters: int = 0
    rates: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        if not (self.parameters >= 1 and self.flops > 0 and self.activations >= 0):
            raise ValueError(
                "a network needs parameters and operations above 0, and activations of 0 or more"
            )


# Parameters and operations as Keras counts them (2 a multiply-add); rates of the P100 at 64 samples
# from TensorFlow's benchmarks of May 2017
# (github.com/tensorflow/docs, site/en/r1/guide/performance/benchmarks.md). ResNet-101 is not among
# them: ResNet-152's 91.8, times the operations of one over those of the other (11.5 and 7.8 G
# multiply-adds). Activations: outputs of convolutions and norms, 4 bytes each.
NETWORKS = {
    network.name: network
    for network in (
        Network("resnet-50", 25_557_032, 7.8e9, 90e6, 2_049_000, {"P100 SXM2": 219}),
        Network(
            "resnet-101", 44_549_160, 15.2e9, 130e6, 2_049_000, {"P100 SXM2": 91.8 * 11.5 / 7.8}
        ),
        Network("vgg-16", 138_357_544, 31.0e9, 110e6, 123_642_856, {"P100 SXM2": 154}),
    )
}


def step(network: Network, machine: Machine, layout: Layout) -> Step:
    """Returns the parts of a data-parallel step: gradients go while the backward pass computes."""
    samples = layout.micro_batch * layout.micro_batches
    device = machine.device
    rate = network.rates.get(device.name)
    if rate:
        seconds = layout.micro_batch / rate
    else:
        work = 3 * network.flops / (device.tflops_float32 * 1e12 * device.efficiency)
        moved = 6 * network.activations / (device.bandwidth * 1e9 * MEMORY_EFFICIENCY)
        seconds = layout.micro_batch * (work + moved)
    volume = _GRADIENT * network.parameters
    buckets = np.ceil(volume / BUCKET)
    reduce = buckets * collectives.all_reduce(machine, layout.data, 1, volume / buckets)
    shared = exposed(reduce, volume, 2 / 3 * seconds, _GRADIENT * network.head_parameters)
    flops = 3.0 * network.flops * samples * layout.data
    nothing = np.zeros(())
    return Step(
        compute=seconds * layout.micro_batches,
        again=nothing,
        tensor=nothing,
        send=nothing,
        bubble=nothing,
        data=shared,
        optimizer=nothing,
        flops=flops,
        model_flops=flops,
        devices=layout.devices,
        peak=device.tflops_float32 * 1e12,
    )


def memory(network: Network, layout: Layout) -> Memory:
    """Returns what a device keeps."""
    held = network.parameters
    return Memory(
        held, _WEIGHT * held, _GRADIENT * held, _OPTIMIZER * held,
        network.activations * layout.micro_batch, 0,
    )  # fmt: skip


def efficiency(network: Network, machine: Machine, devices: int, micro_batch: int) -> float:
    """Returns the samples/s of a device, as a share of what one alone reaches."""
    alone = step(network, machine, Layout(micro_batch=micro_batch, global_batch=micro_batch))
    batch = micro_batch * devices
    together = step(
        network, machine, Layout(data=devices, micro_batch=micro_batch, global_batch=batch)
    )
    return float(alone.seconds / together.seconds)
