"""Keras builders, one module a model: `keras` alone, so that every Keras backend builds them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

MODELS = ("cnn",)


def build(name: str, **options) -> "keras.Model":
    """Builds a model by name.

    Args:
        name: One of `MODELS`.
        **options: Passed to the builder, for example `tfsci.models.cnn.build`; where the builder
            has variants, ``variant`` names a row of its table.

    Returns:
        An uncompiled functional model whose outputs are float32 logits.

    Raises:
        ValueError: The name or the variant is unknown, or the options do not fit.
        TypeError: The builder has no such option.

    Example:
        >>> model = build("cnn", variant="oak-ridge", input_shape=(128, 128, 3), num_classes=231)
        >>> model.count_params()
        5680239
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; expected one of {', '.join(MODELS)}")
    return import_module(f"tfsci.models.{name}").build(**options)
