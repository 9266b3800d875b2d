"""What training keeps in a device's memory, in bytes.

In 16 bit with Adam a parameter is 2 bytes of weight, 2 of gradient and 12 of optimizer state: a
copy, momentum and variance in single precision (Rajbhandari 2020, section 3.1).
"""

from dataclasses import dataclass

import numpy as np

from tfsci.plan.layout import Layout
from tfsci.plan.transformer import Transformer

WEIGHT, GRADIENT, OPTIMIZER = 2, 2, 12


@dataclass(frozen=True)
class Memory:
    """Bytes of the device that holds most, or arrays of them.

    Attributes:
        parameters: How many it holds; not bytes.
        weights: Of them.
        gradients: Of them.
        optimizer: State of Adam.
        activations: What forward passes keep for backward ones.
        working: What one layer's recomputation needs besides, or the logits; ZeRO 3's gathered
            weights.
    """

    parameters: object
    weights: object
    gradients: object
    optimizer: object
    activations: object
    working: object

    @property
    def total(self):
        """Of all parts."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.working

    @property
    def parts(self) -> dict[str, object]:
        """Bytes by name."""
        names = ("weights", "gradients", "optimizer", "activations", "working")
        return {name: getattr(self, name) for name in names}


def state(parameters, data=1, zero=0) -> tuple:
    """Returns bytes of weights, gradients and optimizer on a device.

    Rajbhandari 2020, figure 1: 7.5 B parameters over 64 devices are 120, 31.4, 16.6 and 1.9 GB.

    Args:
        parameters: That a replica's device has to do with.
        data: Replicas.
        zero: Stage, 0 to 3.
    """
    return (
        WEIGHT * parameters / np.where(np.asarray(zero) >= 3, data, 1),
        GRADIENT * parameters / np.where(np.asarray(zero) >= 2, data, 1),
        OPTIMIZER * parameters / np.where(np.asarray(zero) >= 1, data, 1),
    )


def stage_parameters(model: Transformer, layout: Layout, last=False):
    """Returns the parameters of a tensor rank in the first or last pipeline stage.

    Each stage has its layers, the first the embedding, the last the output; where they share their
    weights and are apart, both hold them.
    """
    t, p = np.asarray(layout.tensor), np.asarray(layout.pipeline)
    layer = (model.matrices + model.sharded_biases) / t + model.replicated
    table = model.vocabulary * model.hidden
    if model.style == "vit":  # few, and not split
        first, end = model.input_parameters, model.output_parameters
    else:
        first = table / t + model.input_parameters - table
        end = (
            table / t + model.output_parameters - table
            if model.style == "llama"
            else model.output_parameters + np.where(p > 1, table / t, 0)
        )
    own = end if last else first
    return model.layers / p * layer + np.where(p == 1, first + end, own)


def layer_activations(model: Transformer, layout: Layout, recompute=None):
    """Returns the bytes that a layer's forward pass keeps of a micro-batch.

    Korthikanti 2022: sbh(10 + 24/t + 5as/ht) in equation 2, sbh(34 + 5as/h)/t with sequence
    parallelism in equation 4; 34/t with selective recomputation in equation 6; 2sbh with full.
    """
    kept = layout.recompute if recompute is None else recompute
    t = np.asarray(layout.tensor)
    norms = np.where(layout.sequence_parallel, t, 1)
    tokens = np.asarray(layout.micro_batch, float) * model.sequence
    h, r = model.hidden, model.queries_to_keys
    wide = model.inner * (6 if model.style == "llama" else 4)  # in and out of the non-linearity
    sharded = 2 * h * (1 + 2 * r) + 2 * h + wide  # Q, K, V; attended; expanded
    scores = 5 * model.heads * model.sequence * ~np.asarray(layout.flash)
    whole = tokens * (
        10 * h / norms + sharded / t + np.where(np.equal(kept, "none"), scores / t, 0)
    )
    return np.where(np.equal(kept, "full"), 2 * tokens * h / norms, whole)


def output_activations(model: Transformer, layout: Layout):
    """Returns the bytes of the last norm, the logits' input and the logits in single precision.

    Korthikanti 2022, section 4.3: 4sbh(1 + V/h)/t.
    """
    tokens = np.asarray(layout.micro_batch, float) * model.output_tokens
    norms = np.where(layout.sequence_parallel, layout.tensor, 1)
    return tokens * (4 * model.hidden / norms + 4 * model.vocabulary / layout.tensor)


def memory(model: Transformer, layout: Layout) -> Memory:
    """Returns the memory of the first or the last pipeline stage, whichever needs more."""
    layers = model.layers / layout.pipeline
    layer = layer_activations(model, layout)
    whole = layer_activations(model, layout, recompute="none")
    again = np.where(np.equal(layout.recompute, "full"), whole, 0)
    # ZeRO 3 gathers the weights of a layer while it uses another's, and fills one's gradients.
    gathered = np.where(
        np.equal(layout.zero, 3),
        (2 * WEIGHT + GRADIENT) * model.layer_parameters / layout.tensor,
        0,
    )
    logits = output_activations(model, layout)
    alone = np.asarray(layout.pipeline) == 1
    norms = np.where(layout.sequence_parallel, layout.tensor, 1)
    ends = []
    for last in (False, True):
        held = stage_parameters(model, layout, last)
        # The last stage turns to each micro-batch's backward pass at once, if not with GPipe.
        chunks = np.where(layout.chunks > 1, layout.in_flight / layout.pipeline, 1)
        few = np.where(np.equal(layout.schedule, "gpipe"), layout.micro_batches, chunks)
        flight = few if last else layout.in_flight
        mask = layout.micro_batch * model.sequence * model.hidden / norms
        embedded = 0 if last else mask * flight  # of the dropout that follows the embedding
        shared = state(held, layout.data, layout.zero)
        working = (
            np.maximum(again, logits) if last else np.where(alone, np.maximum(again, logits), again)
        )
        ends.append(Memory(held, *shared, layer * layers * flight + embedded, working + gathered))
    first, last = ends
    larger = first.total >= last.total
    return Memory(
        *(
            np.where(larger, a, b)[()]
            for a, b in zip(vars(first).values(), vars(last).values(), strict=True)
        )
    )
