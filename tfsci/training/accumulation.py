"""Gradient accumulation: a large batch in parts that fit into memory.

An update of batch K·B goes over K micro-batches of B samples, one after another, and uses the mean
of their gradients: what one batch of K·B samples gives, but for layers that look at a whole batch
(batch normalisation) and for dropout masks. It is one step of `fit`, of one exchange between the
replicas: schedules, checkpoints and histories count updates, and no gradients are ever left over.
(Keras' own ``gradient_accumulation_steps`` counts micro-batches, and does not work where
`tf.distribute` exchanges gradients.)
"""

import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def accumulate(model: "keras.Model", count: int) -> None:
    """Makes each training step of a compiled model go over its batch in parts.

    Args:
        model: A compiled and built model.
        count: Number of micro-batches, K; it must divide what a replica gets of a batch.
    """
    if count > 1:
        model.train_step = types.MethodType(_step_of(count), model)


def _step_of(count: int):
    def train_step(model, batch):
        """Keras' own step for each part, with a stand-in for the optimizer's last act."""
        import keras
        import tensorflow as tf

        optimizer, variables = model.optimizer, model.trainable_variables
        parts = keras.tree.map_structure(lambda rows: _cut(rows, count), batch)
        without = set()  # places of variables that have no gradient

        def gradients(part) -> list:
            found = []
            optimizer.apply_gradients = lambda pairs: found.extend(g for g, _ in pairs)
            try:
                type(model).train_step(model, part)
            finally:
                del optimizer.apply_gradients
            return found

        def add(i, sums):
            part = keras.tree.map_structure(lambda rows: rows[i], parts)
            added = []
            for place, (total, gradient) in enumerate(zip(sums, gradients(part), strict=True)):
                if gradient is None:
                    without.add(place)
                    added.append(total)
                else:
                    added.append(total + tf.cast(tf.convert_to_tensor(gradient), total.dtype))
            return i + 1, added

        zeros = [tf.zeros(v.shape, v.dtype) for v in variables]
        _, sums = tf.while_loop(lambda i, _: i < count, add, (0, zeros), parallel_iterations=1)
        means = [None if i in without else total / count for i, total in enumerate(sums)]
        optimizer.apply(means, variables)
        return model.get_metrics_result()

    return train_step


def _cut(rows, count: int):
    """Returns (K·B, …) as (K, B, …)."""
    import tensorflow as tf

    size = rows.shape[0]
    if size is not None and size % count:
        raise ValueError(f"--accumulate {count}: does not divide the {size} samples of a replica")
    if rows.shape[1:].is_fully_defined():
        return tf.reshape(rows, (count, -1 if size is None else size // count, *rows.shape[1:]))
    return tf.reshape(rows, tf.concat([[count, -1], tf.shape(rows)[1:]], 0))
