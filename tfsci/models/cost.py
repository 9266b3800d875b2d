"""What a model costs before it is trained: parameters, operations and memory.

Counted are the matrix products and convolutions of a forward pass, a multiplication and an addition
each one operation, as the FLOP/s of a machine are; a training step costs about three times as many.
Attention counts all pairs of tokens, causal or not, as what is computed.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import build
from tfsci.models.deeponet import Product
from tfsci.models.transformer import TransformerBlock


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        input_shape: Of one sample.
        parameters: Numbers that are trained.
        flops: Operations of a forward pass on one sample.
        activations: Bytes that layers put out for one sample and keep for the backward pass, at
            most: what compilers fuse or compute again is less.
    """

    input_shape: tuple[int, ...]
    parameters: int
    flops: int
    activations: int

    def memory(self, batch_size: int) -> float:
        """Returns bytes for each sample of a batch, in training with Adam.

        Weights, gradients and two averages are float32: 16 bytes a parameter, shared by the batch.
        """
        return self.activations + 16 * self.parameters / batch_size


def measure(model: keras.Model) -> Cost:
    """Returns the cost of a functional model of this package, built or sketched."""
    flops = activations = 0
    for layer, given, put_out in _calls(model):
        if isinstance(layer, keras.Model):
            inner = measure(layer)
            flops, activations = flops + inner.flops, activations + inner.activations
            continue
        flops += layer_flops(layer, given, put_out)
        activations += _kept(layer, given, put_out) * _bytes(layer)
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    return Cost(model.input_shape[1:], parameters, flops, activations)


def sketch(name: str, precision: str = "float32", **options) -> Cost:
    """Returns the cost of a model without making its weights, of whatever size.

    Args:
        name: One of `tfsci.models.MODELS`.
        precision: Keras' dtype policy.
        **options: Of the builder.
    """

    def work() -> Cost:
        keras.config.set_dtype_policy(precision)
        with keras.StatelessScope(initialize_variables=False):
            return measure(build(name, **options))

    # Keras remembers, in each thread, which variables wait for their values: those of a thread
    # that has ended wait for ever, and neither its names nor its precision are left behind.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def layer_flops(layer: layers.Layer, given: tuple, put_out: tuple) -> int:
    """Returns the operations of one layer on one sample.

    Args:
        layer: A Keras layer, or one of this package.
        given: Shape of its input, with the batch.
        put_out: Shape of its output, with the batch.
    """
    if isinstance(layer, TransformerBlock):
        tokens, channels = given[1:]
        dense = 3 + 1 + 4 + 4  # Q, K and V; output; expand; contract: each C × C
        return 2 * tokens * channels * (dense * channels + 2 * tokens)
    if isinstance(layer, Product):
        return 2 * math.prod(put_out[1:]) * given[-1]
    if isinstance(layer, layers.ReversibleEmbedding):
        reverse = given[-1] == layer.output_dim and len(given) == len(put_out)
        return 2 * math.prod(given[1:]) * layer.input_dim if reverse else 0
    if isinstance(layer, layers.Dense):
        return 2 * math.prod(given[1:]) * layer.units
    if isinstance(layer, layers.Bidirectional):
        return 2 * layer_flops(layer.forward_layer, given, put_out)
    if isinstance(layer, layers.LSTM | layers.GRU):
        gates = 4 if isinstance(layer, layers.LSTM) else 3
        return 2 * given[1] * gates * layer.units * (given[2] + layer.units)
    if "Conv" in type(layer).__name__:
        kernel = math.prod(layer.kernel.shape)  # points × channels in × channels out
        places = given if "Transpose" in type(layer).__name__ else put_out
        return 2 * kernel * math.prod(places[1:-1])
    return 0


# These pass on what they are given, or change it in place.
_KEEPS_NOTHING = (layers.Reshape, layers.Flatten, layers.Dropout)


def _kept(layer: layers.Layer, given: tuple, put_out: tuple) -> int:
    """Returns how many numbers a layer keeps of one sample."""
    if isinstance(layer, TransformerBlock):
        tokens, channels = given[1:]
        if layer.recompute:
            return 2 * tokens * channels  # x, and x with attention added
        # Two norms, Q, K and V, attended, output, x + output; expanded twice, before and after
        # GELU; contracted, x + contracted; and of each head its shares.
        return tokens * ((1 + 1 + 3 + 1 + 1 + 1 + 4 + 4 + 1 + 1) * channels) + (
            layer.num_heads * tokens**2
        )
    if isinstance(layer, layers.Bidirectional):
        return 2 * _kept(layer.forward_layer, given, put_out)
    if isinstance(layer, layers.LSTM | layers.GRU):
        each = 6 if isinstance(layer, layers.LSTM) else 5  # gates and states, at each step
        return given[1] * each * layer.units
    if isinstance(layer, _KEEPS_NOTHING):
        return 0
    return math.prod(put_out[1:])


def _bytes(layer: layers.Layer) -> int:
    return 2 if layer.compute_dtype.endswith("16") else 4


def _calls(model: keras.Model):
    """Yields each call of a layer in the model, with the shapes of its input and output."""
    nodes = {id(node) for depth in model._nodes_by_depth.values() for node in depth}
    for operation in model.operations:
        for node in operation._inbound_nodes:
            if id(node) in nodes and node.input_tensors and isinstance(operation, layers.Layer):
                yield operation, node.input_tensors[0].shape, node.output_tensors[0].shape
