"""The model of a training: built for its data, with its optimizer, compiled."""

from typing import TYPE_CHECKING

from tfsci import models
from tfsci.data.source import Source
from tfsci.distributed.strategy import Strategy
from tfsci.training import optimizers
from tfsci.training.accumulation import accumulate
from tfsci.training.jit import choose_jit
from tfsci.training.options import Options
from tfsci.training.tasks import Task

if TYPE_CHECKING:
    import keras


def compiled(
    options: Options, task: Task, source: Source, strategy: Strategy, name: str, model_options: dict
) -> "keras.Model":
    """Returns a model that `fit` can train, with the weights that the seed gives.

    Args:
        options: How to train.
        task: What.
        source: Its data.
        strategy: How the processes work together.
        name: Of the model.
        model_options: Of its builder, besides what follows from the data.

    Raises:
        ValueError: Options of the model or of the training that do not fit.
    """
    import keras

    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)
    with strategy.scope():
        network = models.build(name, **task.shape(source), **model_options)
        network.compile(
            optimizers.make(options, optimizers.default_rate(options, source), network),
            task.loss(),
            weighted_metrics=task.metrics(),
            jit_compile=_jit(options, network, strategy),
        )
        network.optimizer.build(network.trainable_variables)
    accumulate(network, options.accumulate)
    if options.sync_batch_norm and not strategy.synchronize_batch_norm(network):
        raise ValueError(
            f"--sync-batch-norm: {network.name} has no batch normalisation; leave the option out"
        )
    return network


def _jit(options: Options, network, strategy: Strategy) -> bool:
    if options.jit == "on" and not strategy.compiles:
        raise ValueError(
            f"--jit on: {strategy.name}'s exchange of gradients can't be inside a step that XLA "
            "compiles; use --jit auto"
        )
    if options.jit == "auto":
        return strategy.compiles and not options.deterministic and choose_jit(network)
    return options.jit == "on"
