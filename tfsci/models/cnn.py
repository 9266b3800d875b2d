"""Small convolutional networks: convolutions that halve the image, then dense layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        channels: Channels of each 3×3 convolution.
        halving: How the image is halved: by each convolution's ``"stride"`` or a ``"max-pool"``.
        groups: Groups of channels that are normalised together, in each sample alone, after each
            convolution; fewer where they do not divide the channels, 0 for none.
        activation: After each convolution and hidden layer.
        average: Whether the image is averaged away before the dense layers, or flattened.
        most_flattened: Largest side of what is flattened; a larger image is halved by further
            convolutions, as wide as the last. None for any.
        units: Units of each hidden dense layer.
        dropout: Fraction of features dropped before the logits.
    """

    channels: tuple[int, ...]
    halving: str = "max-pool"
    groups: int = 0
    activation: str = "relu"
    average: bool = False
    most_flattened: int | None = None
    units: tuple[int, ...] = ()
    dropout: float = 0.0


VARIANTS = {
    # Smooth all through: where a ReLU or a maximum flips by rounding, runs that add up the same
    # gradients in another order part, so no two strategies could be told equal to six digits.
    "small": Variant(
        (32, 64), "stride", activation="gelu", most_flattened=16, units=(128,), dropout=0.25
    ),
    # For what is all over the image and nowhere in particular, such as how much of it is damaged.
    # Groups, not batches, are normalised (Wu and He 2018): no sample depends on its neighbours, so
    # ranks need not agree on anything but gradients.
    "pooled": Variant(
        (32, 64, 128), "stride", groups=8, activation="gelu", average=True, units=(128,)
    ),
    # The network of Oak Ridge's diffraction course: 5,680,239 parameters at (128, 128, 3) and 231.
    "oak-ridge": Variant((12, 24), dropout=0.2),
}


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    variant: str = "small",
    channels: Sequence[int] | None = None,
    dropout: float | None = None,
) -> keras.Model:
    """Builds a small convolutional network.

    Args:
        input_shape: Height, width and channels of an image, without the batch.
        num_classes: Number of classes, at least 2.
        variant: A row of `VARIANTS`.
        channels: Channels of each convolution; by default the variant's own, and for a large image
            as many more as it takes to halve it to what is flattened.
        dropout: Fraction of features dropped, 0 … 1; the variant's own by default.

    Returns:
        A model from images (B, H, W, C) to float32 logits (B, num_classes).

    Raises:
        ValueError: The variant is unknown, the image is too small for the depth, or a number is
            out of range.
    """
    row = checks.variant("cnn", VARIANTS, variant)
    input_shape = checks.image("cnn", input_shape)
    if channels is None:
        channels = _deep_enough(row, max(input_shape[:2]))
    else:
        channels = checks.wholes("channels", channels)
    rate = checks.fraction("dropout", row.dropout if dropout is None else dropout)
    num_classes = checks.whole("num_classes", num_classes, least=2)
    smallest = 2 ** len(channels)
    if min(input_shape[:2]) < smallest:
        raise ValueError(
            f"input_shape {input_shape}: too small to halve {len(channels)} times; "
            f"expected at least {smallest}×{smallest} pixels"
        )

    inputs = keras.Input(input_shape, name="image")
    initial = {"kernel_initializer": "he_normal"}

    x = inputs
    for i, number in enumerate(channels, 1):  # (B, H, W, C) → (B, H/2, W/2, number)
        stride = 2 if row.halving == "stride" else 1
        x = layers.Conv2D(number, 3, stride, "same", name=f"conv_{i}", **initial)(x)
        if row.groups:
            x = layers.GroupNormalization(math.gcd(row.groups, number), name=f"norm_{i}")(x)
        x = layers.Activation(row.activation, name=f"activation_{i}")(x)
        if row.halving == "max-pool":
            x = layers.MaxPooling2D(2, name=f"pool_{i}")(x)

    if row.average:
        x = layers.GlobalAveragePooling2D(name="average")(x)
    else:
        x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(row.units, 1):
        x = layers.Dense(units, row.activation, name=f"dense_{i}", **initial)(x)
    if rate:
        x = layers.Dropout(rate, name="dropout")(x)
    outputs = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name=f"cnn_{variant.replace('-', '_')}")


def _deep_enough(row: Variant, side: int) -> tuple[int, ...]:
    """Returns the channels of the convolutions that an image of so many pixels a side needs."""
    if row.most_flattened is None:
        return row.channels
    depth = max(len(row.channels), math.ceil(math.log2(side / row.most_flattened)))
    return row.channels + row.channels[-1:] * (depth - len(row.channels))
