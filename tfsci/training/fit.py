"""`model.fit` and `model.evaluate` for any strategy: one curve, every sample counted once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfsci.data.pipeline import Batches
from tfsci.distributed import preflight
from tfsci.distributed.strategy import Strategy
from tfsci.training.fused import fuse_batch_norm
from tfsci.training.schedules import Schedule

if TYPE_CHECKING:
    import keras


def fit(
    model: "keras.Model",
    train: Batches,
    epochs: int,
    validation: Batches | None = None,
    strategy: Strategy | None = None,
    learning_rate: Schedule | None = None,
    first_step: int = 0,
    metrics: Sequence = (),
    callbacks: Sequence["keras.callbacks.Callback"] = (),
) -> list[dict[str, float]]:
    """Trains a compiled model through plain `model.fit`.

    Every process calls it. Gradients are averaged in the optimizer, the chief's variables are
    broadcast first, and what is reported is over all processes.

    Args:
        model: A built and compiled model; under Horovod with ``jit_compile=False``.
        train: This process's shard of the training batches, starting at `first_step`.
        epochs: Epochs in all, those before `first_step` counted in.
        validation: This process's shard of the validation batches.
        strategy: One process by default.
        learning_rate: Rate at each step; the optimizer's own by default.
        first_step: Steps done before.
        metrics: What `metric_totals` gave after these, where they end within an epoch.
        callbacks: More callbacks. At the end of an epoch their logs hold ``loss``, ``val_loss``
            and every metric over all processes, ``learning_rate`` and ``examples_per_second``.

    Returns:
        A row for each epoch, as the callbacks see it, with ``epoch`` counted from 1.

    Raises:
        FloatingPointError: The loss is not finite; the message names the step.
    """
    from tfsci.training import callbacks as ours

    strategy = strategy or Strategy()
    if not model.optimizer.built:
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
    if not model.jit_compile:
        fuse_batch_norm(model)
    strategy.average_gradients(model, train)
    strategy.broadcast(model)
    preflight.check_weights(strategy, model)
    steps = ours.Steps(train.steps, first_step)
    chain = [steps, ours.StopOnNonFinite(steps)]
    if learning_rate is not None:
        chain.append(ours.SetLearningRate(learning_rate, steps))
    if metrics:
        chain.append(ours.AddMetrics(metrics, strategy))
    rows = ours.EpochRows()
    chain += [ours.EpochResults(train.batch_size, validation, strategy), rows, *callbacks]

    def go_on(batches, epoch, to_epoch, count):
        model.fit(
            strategy.distribute(batches.dataset),
            steps_per_epoch=count,
            epochs=to_epoch,
            initial_epoch=epoch,
            verbose=0,
            shuffle=False,
            callbacks=chain,
        )

    epoch, done = divmod(first_step, train.steps)
    if done:  # the rest of an epoch, which Keras takes for a short one
        go_on(train, epoch, epoch + 1, train.steps - done)
        epoch += 1
        train = train.from_step(epoch * train.steps)
    if epoch < epochs:
        go_on(train, epoch, epochs, train.steps)
    return rows.rows


def evaluate(
    model: "keras.Model", batches: Batches, strategy: Strategy | None = None
) -> dict[str, float]:
    """Returns the loss and metrics of a compiled model over all processes' samples, each once.

    Args:
        model: A compiled model whose metrics are sums over samples (``weighted_metrics``).
        batches: This process's shard, with weights.
        strategy: One process by default.
    """
    # Keras divides the summed loss by the rows it saw, filling included. Weights whose mean over
    # these rows is 1 make that the mean over the samples.
    scale = batches.steps * batches.batch_size / batches.num_samples
    dataset = batches.dataset.map(lambda x, y, weight: (x, y, _of_each(weight * scale, y)))
    strategy = strategy or Strategy()
    model.evaluate(strategy.distribute(dataset), steps=batches.steps, verbose=0)
    if strategy.num_shards > 1 and not strategy.reads_global_metrics:
        set_metric_totals(model, metric_totals(model, strategy), strategy)
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _of_each(weight, y):
    """Returns the weights of samples as those of all that a sample has losses of.

    That is each label, or each place of a field; Keras does not spread weights by itself.
    """
    import tensorflow as tf

    values = y.shape if y.dtype.is_integer else y.shape[:-1]
    if values.rank < 2:
        return weight
    weight = tf.reshape(weight, [-1] + [1] * (values.rank - 1))
    return tf.broadcast_to(weight, tf.shape(y)[: values.rank])


def metric_totals(model: "keras.Model", strategy: Strategy) -> list[np.ndarray]:
    """Returns the metrics' variables, which are sums over samples, added up over the processes."""
    values = [np.asarray(v, "float64") for v in _metric_variables(model)]
    if strategy.num_shards == 1 or strategy.reads_global_metrics or not values:
        return values
    summed = strategy.sum(np.concatenate([value.ravel() for value in values]))
    parts = np.split(summed, np.cumsum([value.size for value in values])[:-1])
    return [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]


def set_metric_totals(model: "keras.Model", totals: Sequence, strategy: Strategy) -> None:
    """Sets the metrics' variables so that they add up to these over the processes."""
    share = 1 if strategy.reads_global_metrics else strategy.num_shards
    for variable, total in zip(_metric_variables(model), totals, strict=True):
        variable.assign(total / share)


def _metric_variables(model) -> list:
    return [variable for metric in model.metrics for variable in metric.variables]
