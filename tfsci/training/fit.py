"""`model.fit` and `model.evaluate` for any strategy: one curve, every sample counted once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfsci.data.pipeline import Batches
from tfsci.distributed.strategy import Strategy
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
    callbacks: Sequence["keras.callbacks.Callback"] = (),
) -> list[dict[str, float]]:
    """Trains a compiled model through plain `model.fit`.

    Every process calls it. Gradients are averaged in the optimizer, the chief's variables are
    broadcast first, and what is reported is over all processes.

    Args:
        model: A compiled model; under Horovod with ``jit_compile=False``.
        train: This process's shard of the training batches, starting at `first_step`.
        epochs: Epochs in all, those before `first_step` counted in.
        validation: This process's shard of the validation batches.
        strategy: One process by default.
        learning_rate: Rate at each step; the optimizer's own by default.
        first_step: Steps done before, a whole number of epochs.
        callbacks: More callbacks. At the end of an epoch their logs hold ``loss``, ``val_loss``
            and every metric over all processes, ``learning_rate`` and ``examples_per_second``.

    Returns:
        A row for each epoch, as the callbacks see it, with ``epoch`` counted from 1.

    Raises:
        FloatingPointError: The loss is not finite; the message names the step.
    """
    from tfsci.training import callbacks as ours

    strategy = strategy or Strategy()
    strategy.average_gradients(model, train)
    strategy.broadcast(model)
    chain = [ours.StopOnNonFinite(train.steps, first_step)]
    if learning_rate is not None:
        chain.append(ours.SetLearningRate(learning_rate, first_step))
    rows = ours.EpochRows()
    model.fit(
        strategy.distribute(train.dataset),
        steps_per_epoch=train.steps,
        epochs=epochs,
        initial_epoch=first_step // train.steps,
        verbose=0,
        shuffle=False,
        callbacks=[*chain, ours.EpochResults(train, validation, strategy), rows, *callbacks],
    )
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
    dataset = batches.dataset.map(lambda x, y, weight: (x, y, weight * scale))
    strategy = strategy or Strategy()
    model.evaluate(strategy.distribute(dataset), steps=batches.steps, verbose=0)
    if strategy.num_shards > 1 and not strategy.reads_global_metrics:
        variables = [v for metric in model.metrics for v in metric.variables]
        values = [np.asarray(v, "float64") for v in variables]
        summed = strategy.sum(np.concatenate([value.ravel() for value in values]))
        ends = np.cumsum([value.size for value in values])[:-1]
        for variable, value in zip(variables, np.split(summed, ends), strict=True):
            variable.assign(value.reshape(variable.shape))
    return {name: float(value) for name, value in model.get_metrics_result().items()}
