"""The optimizer of a training, from its options."""

from typing import TYPE_CHECKING

from tfsci.data.source import Source
from tfsci.training.options import OPTIMIZERS, Options

if TYPE_CHECKING:
    import keras


def default_rate(options: Options, source: Source) -> float:
    """Returns the peak learning rate for one replica where ``--learning-rate`` does not say it."""
    if options.learning_rate:
        return options.learning_rate
    if options.optimizer == "adamw":
        return 0.001
    return 0.1 if source.name == "digits" else 0.02


def make(options: Options, rate: float, model: "keras.Model") -> "keras.optimizers.Optimizer":
    """Returns the optimizer of a model.

    Weight decay is decoupled (Loshchilov and Hutter 2019, arXiv:1711.05101), with SGD too: each
    update takes learning rate × decay of a kernel away, outside the momentum. A penalty λ/2·‖w‖²
    in the loss pulls 1/(1 − 0.9) = 10 times as much under momentum: its 1e-4 is a decay of 1e-3.

    Args:
        options: Which optimizer, and its decay and clipping.
        rate: The learning rate to start with.
        model: A built model, whose kernels alone decay: matrices and filters, not biases, the
            scales of norms, or the tables of embeddings and positions.

    Raises:
        ValueError: The optimizer is unknown.
    """
    import keras

    settings = {
        "weight_decay": options.weight_decay or None,
        "global_clipnorm": options.clip_norm or None,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if options.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, **settings)
    elif options.optimizer == "adamw":
        # AdamW's own default decay is not zero. β₂ = 0.95 as for GPT-3 (Brown et al. 2020).
        settings = {"weight_decay": 0.0} | settings
        optimizer = keras.optimizers.AdamW(rate, beta_2=0.95, **settings)
    else:
        raise ValueError(
            f"--optimizer {options.optimizer}: expected one of {', '.join(OPTIMIZERS)}"
        )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if not decays(v)])
    return optimizer


def decays(variable: "keras.Variable") -> bool:
    """Whether weight decay is for a variable: a kernel, also a recurrent or depthwise one."""
    return variable.name.endswith("kernel")
