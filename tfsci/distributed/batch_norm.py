"""Batch normalisation over the global batch, and moving statistics that all replicas share.

Keras' own ``synchronized=True`` knows `tf.distribute` alone, leaves masked inputs to each replica,
loses digits where the mean is far from zero, and makes a saved model that only TensorFlow loads.
Here only a method of the layers of this one model changes, so that a saved one is plain Keras.
"""

import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# From values and a name, the same on every replica and no other exchange's, to the values' sum
# over the replicas; its gradient is the sum of the replicas' gradients.
AddUp = Callable[["tf.Tensor", str], "tf.Tensor"]


def synchronize(model: "keras.Model", add_up: AddUp) -> int:
    """Makes the batch normalisation of a model compute over the replicas' batches together.

    The layer's mean, variance and moving statistics become those that one process with the global
    batch has. So do its gradients, once they are averaged over the replicas: what a replica's
    inputs do to the losses of the others comes back through the sum. One exchange a layer and
    step, of 2·channels + 1 numbers, and one more for the gradient.

    Args:
        model: A model that has not been trained yet; layers within layers count too.
        add_up: How values are summed over the replicas.

    Returns:
        Number of its batch normalisation layers.
    """
    found = layers(model)
    for i, layer in enumerate(found):
        name = f"batch_norm/{i}/{layer.name}"
        layer._moments = types.MethodType(_moments_with(add_up, name), layer)
    return len(found)


def layers(model: "keras.Model") -> list["keras.layers.BatchNormalization"]:
    """Returns the batch normalisation layers of a model, however deep within other layers."""
    import keras

    kind = keras.layers.BatchNormalization
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def over_replicas(values: "tf.Tensor", name: str) -> "tf.Tensor":
    """Returns the sum over the replicas of `tf.distribute`."""
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    # There is none while Keras builds a model, before any replica runs.
    return values if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, values)


def moving_statistics(model: "keras.Model") -> list["keras.Variable"]:
    """Returns the float variables that layers update themselves, such as a moving mean.

    Those of frozen layers stay what they are, and seeds and counters are no statistics.
    """
    import keras

    return [
        variable
        for layer in model._flatten_layers()
        if layer.trainable
        for variable in layer._non_trainable_variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]


def average(
    variables: Sequence["keras.Variable"], mean: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Sets float variables to their mean over the processes, in one exchange, or none for none.

    Args:
        variables: The same on every process.
        mean: Returns the processes' average of a float64 vector.
    """
    if not variables:
        return
    values = [variable.numpy() for variable in variables]
    means = mean(np.concatenate([value.ravel().astype("float64") for value in values]))
    parts = np.split(means, np.cumsum([value.size for value in values])[:-1])
    for variable, value, part in zip(variables, values, parts, strict=True):
        variable.assign(part.reshape(value.shape).astype(value.dtype))


def _moments_with(add_up: AddUp, name: str):
    def moments(layer, inputs, mask):
        """Takes the place of `BatchNormalization._moments`: mean and variance, both (C,)."""
        import tensorflow as tf

        # Var x = E(x − s)² − (E(x − s))² for any s; with s near the mean no digits are lost. The
        # moving mean is near it, and the same on every replica.
        shift = tf.stop_gradient(tf.cast(layer.moving_mean.value, inputs.dtype))  # (C,)
        channels = [1] * len(inputs.shape)
        channels[layer.axis] = -1
        shifted = inputs - tf.reshape(shift, channels)
        if mask is None:
            count = tf.cast(tf.size(inputs) // tf.size(shift), inputs.dtype)
        else:
            mask = tf.broadcast_to(tf.cast(mask, "bool"), tf.shape(inputs)[:-1])
            count = tf.reduce_sum(tf.cast(mask, inputs.dtype))
            shifted = tf.where(mask[..., None], shifted, 0)
        sums = [tf.reduce_sum(values, layer._reduction_axes) for values in (shifted, shifted**2)]
        total = add_up(tf.concat([*sums, [count]], 0), name)
        offset, square = tf.split(tf.math.divide_no_nan(total[:-1], total[-1]), 2)
        return shift + offset, tf.maximum(square - offset**2, 0)

    return moments
