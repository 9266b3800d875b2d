"""Multi-layer perceptrons: dense layers on a sample laid out flat."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table: units of each hidden layer, and what is dropped before the logits."""

    units: tuple[int, ...]
    dropout: float = 0.0


VARIANTS = {
    "linear": Variant(()),  # logistic regression
    "small": Variant((128,)),
    "base": Variant((256, 256), dropout=0.2),
    "deep": Variant((512, 512, 512, 512), dropout=0.2),
}

_ACTIVATIONS = ("gelu", "relu", "leaky_relu", "elu", "tanh", "sigmoid")


def build(
    input_shape: tuple[int, ...],
    num_classes: int,
    variant: str = "small",
    units: Sequence[int] | None = None,
    dropout: float | None = None,
    activation: str = "gelu",
) -> keras.Model:
    """Builds a multi-layer perceptron.

    Args:
        input_shape: Shape of one sample, without the batch; it is laid out flat.
        num_classes: Number of classes, at least 2.
        variant: A row of `VARIANTS`.
        units: Units of each hidden layer; the variant's own by default.
        dropout: Fraction of features dropped before the logits; the variant's own by default.
        activation: What a hidden unit does with its sum: ``"gelu"``, ``"relu"``, ``"leaky_relu"``,
            ``"elu"``, ``"tanh"`` or ``"sigmoid"``. GELU is smooth, so that runs which add up in
            another order do not part (see `cnn`).

    Returns:
        A model from samples (B, …) to float32 logits (B, num_classes).

    Raises:
        ValueError: The variant or the activation is unknown, or a number is out of range.
    """
    row = checks.variant("mlp", VARIANTS, variant)
    input_shape = checks.shape("input_shape", input_shape)
    num_classes = checks.whole("num_classes", num_classes, least=2)
    units = row.units if units is None else checks.wholes("units", units)
    rate = checks.fraction("dropout", row.dropout if dropout is None else dropout)
    checks.one_of("activation", activation, _ACTIVATIONS)

    inputs = keras.Input(input_shape, name="sample")
    x = layers.Flatten(name="flatten")(inputs)
    for i, number in enumerate(units, 1):
        x = layers.Dense(number, activation, kernel_initializer="he_normal", name=f"dense_{i}")(x)
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)
    outputs = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name=f"mlp_{variant}")
