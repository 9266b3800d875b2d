"""The sum of gradients over the replicas of `tf.distribute`, before an optimizer looks at them.

Keras 3 adds them up in the last act of an update, when each replica has already clipped its own
gradients, and with float16 has looked for infinities in its own: a clipped training would depend
on the number of replicas, and a step that one replica skips and another does not would hang.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def add_up(gradients: Sequence) -> list:
    """Returns gradients added up over the replicas; each is of its replica's share of the loss.

    Args:
        gradients: Tensors, `tf.IndexedSlices`, or None.
    """
    import tensorflow as tf

    summed = list(gradients)
    places = [i for i, gradient in enumerate(summed) if gradient is not None]
    replica = tf.distribute.get_replica_context()
    totals = replica.all_reduce(tf.distribute.ReduceOp.SUM, [summed[i] for i in places])
    for i, total in zip(places, totals, strict=True):
        summed[i] = total
    return summed


def leave_to_caller(optimizer: "keras.optimizers.Optimizer") -> None:
    """Takes Keras' own sum out of an optimizer, and out of the one that scales its loss."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner._all_reduce_sum_gradients = list
