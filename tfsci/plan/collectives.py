"""How long collectives take: an α–β model over the links that they really cross.

A group has `size` ranks, `stride` devices apart. Where blocks of a level hold all such groups,
nothing beyond them is crossed (nodes of eight do not hold groups of six: some lie across two).
A ring over n ranks takes 2(n - 1) steps for an all-reduce, of which
2(blocks - 1) leave a block; each has the latency α of the link that it takes, and all its bytes go
through the narrowest: a block's members that are in the group share what their links carry. This
is how NCCL estimates its ring (src/graph/tuning.cc). Trees, which NCCL prefers among very many
nodes, are left out: above about a thousand nodes latencies are overstated.

Sizes may be NumPy arrays.
"""

import numpy as np

from tfsci.plan.machines import Machine


def all_reduce(machine: Machine, size, stride, volume):
    """Returns the seconds of an all-reduce.

    Args:
        machine: Whose links.
        size: Ranks of the group.
        stride: Devices between its neighbours.
        volume: Bytes that each rank has and gets.
    """
    return 2 * gather(machine, size, stride, volume)


def gather(machine: Machine, size, stride, volume):
    """Returns the seconds of an all-gather, or of a reduce-scatter: half an all-reduce.

    Args:
        machine: Whose links.
        size: Ranks of the group.
        stride: Devices between its neighbours.
        volume: Bytes of all ranks together.
    """
    size, stride = np.asarray(size), np.asarray(stride)
    seconds_per_byte, latency = 0.0, 0.0
    inside = np.ones_like(size)  # ranks of the group within a block of the level below
    for link in machine.links:
        # Blocks begin at multiples of `devices`, groups at multiples of their span: what divides
        # both is sure to stay together.
        together = np.gcd(size * stride, link.devices) // stride if link.devices else size
        block = np.clip(together, 1, size)
        block = np.maximum(block, inside)
        crossed = block > inside
        steps = size / inside - size / block  # of the n - 1 all around, those on this level
        latency = latency + np.where(crossed, steps * link.latency * 1e-6, 0)
        slowest = np.maximum(seconds_per_byte, 1 / (link.rate * inside))
        seconds_per_byte = np.where(crossed, slowest, seconds_per_byte)
        inside = block
    return (size - 1) / size * volume * seconds_per_byte + latency


def send(machine: Machine, size, stride, volume):
    """Returns the seconds of the slowest message between neighbours of a group.

    Args:
        machine: Whose links.
        size: Ranks of the group.
        stride: Devices between its neighbours.
        volume: Bytes.
    """
    span = np.asarray(size) * stride
    seconds = np.zeros(np.broadcast(span, volume).shape)
    reached = np.zeros(span.shape, bool)
    for link in machine.links:
        holds = link.devices is None or np.gcd(span, link.devices) == span
        here = ~reached & holds
        seconds = np.where(here, link.latency * 1e-6 + volume / link.rate, seconds)
        reached = reached | here
    return seconds
