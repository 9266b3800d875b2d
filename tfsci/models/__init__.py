"""Keras builders, one module a model: `keras` alone, so that every Keras backend builds them."""

import inspect
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

MODELS = ("mlp", "cnn", "resnet", "rnn", "vit", "gpt", "autoencoder", "vae", "unet", "deeponet")


def build(name: str, **options) -> "keras.Model":
    """Builds a model by name.

    Args:
        name: One of `MODELS`.
        **options: Passed to the builder, for example `tfsci.models.cnn.build`; ``variant`` names a
            row of its table, ``VARIANTS``, and other options override what the row says.

    Returns:
        An uncompiled functional model whose outputs are float32 logits (or values, of fields).

    Raises:
        ValueError: The name, the variant or an option is unknown or missing, or does not fit.

    Example:
        >>> model = build("cnn", variant="oak-ridge", input_shape=(128, 128, 3), num_classes=231)
        >>> model.count_params()
        5680239
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; expected one of {', '.join(MODELS)}")
    builder = import_module(f"tfsci.models.{name}").build
    known = inspect.signature(builder).parameters
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; expected {', '.join(known)}")
    needed = [option for option, of in known.items() if of.default is inspect.Parameter.empty]
    for option in needed:
        if option not in options:
            raise ValueError(f"{name} needs {option}; expected at least {', '.join(needed)}")
    return builder(**options)
