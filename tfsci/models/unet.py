"""U-Nets: fields to fields of the same size (Ronneberger et al. 2015, arXiv:1505.04597)."""

from dataclasses import dataclass

import keras
from keras import layers, ops

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table: channels of each level, from the full size to the smallest."""

    channels: tuple[int, ...]


VARIANTS = {
    "small": Variant((16, 32, 64)),
    "base": Variant((32, 64, 128, 256)),
    "large": Variant((64, 128, 256, 512, 1024)),  # the paper's depth and width
}

_GROUPS = 8  # of channels that are normalised together, in each sample alone, as in `cnn`
_BOUNDARIES = ("zero", "periodic")


def build(
    input_shape: tuple[int, ...],
    num_outputs: int = 1,
    variant: str = "small",
    boundary: str = "zero",
) -> keras.Model:
    """Builds a U-Net for fields in one, two or three dimensions.

    Unlike the paper's, convolutions keep the size, and channels are normalised in groups.

    Args:
        input_shape: Points along each axis and channels, without the batch: (X, C), (H, W, C) or
            (D, H, W, C). Each level halves the points, so 2^(levels − 1) must divide them.
        num_outputs: Channels that come out.
        variant: A row of `VARIANTS`.
        boundary: What lies beyond the edge: ``"zero"``, or the other edge, ``"periodic"``.

    Returns:
        A model from fields (B, …, C) to float32 values, or logits, (B, …, num_outputs).

    Raises:
        ValueError: The variant is unknown, the points can't be halved so often, or a number is out
            of range.
    """
    row = checks.variant("unet", VARIANTS, variant)
    input_shape = checks.shape("input_shape", input_shape)
    if not 2 <= len(input_shape) <= 4:
        raise ValueError(
            f"input_shape {input_shape}: unet takes fields in one to three dimensions, expected "
            "(points, channels), (height, width, channels) or (depth, height, width, channels)"
        )
    checks.halved("unet", input_shape[:-1], len(row.channels) - 1)
    num_outputs = checks.whole("num_outputs", num_outputs)
    periodic = checks.one_of("boundary", boundary, _BOUNDARIES) == "periodic"
    rank = len(input_shape) - 1

    def convolve(x, channels: int, name: str):
        """Two convolutions over 3 points along each axis."""
        for i in (1, 2):
            if periodic:
                x = PeriodicPadding(name=f"{name}_{i}_pad")(x)
            x = _layer("Conv", rank)(
                channels,
                3,
                padding="valid" if periodic else "same",
                kernel_initializer="he_normal",
                name=f"{name}_{i}",
            )(x)
            x = layers.GroupNormalization(_GROUPS, name=f"{name}_{i}_norm")(x)
            x = layers.Activation("gelu", name=f"{name}_{i}_gelu")(x)
        return x

    inputs = x = keras.Input(input_shape, name="field")
    *upper, lowest = row.channels
    kept = []
    for level, channels in enumerate(upper, 1):  # (B, X, C) → (B, X/2, channels)
        x = convolve(x, channels, f"down_{level}")
        kept.append(x)
        x = _layer("MaxPooling", rank)(2, name=f"halve_{level}")(x)
    x = convolve(x, lowest, "bottom")
    for level, channels in reversed(list(enumerate(upper, 1))):  # (B, X, C) → (B, 2X, channels)
        x = _layer("Conv", rank, "Transpose")(channels, 2, strides=2, name=f"double_{level}")(x)
        x = layers.Concatenate(name=f"join_{level}")([kept[level - 1], x])
        x = convolve(x, channels, f"up_{level}")
    outputs = _layer("Conv", rank)(num_outputs, 1, dtype="float32", name="outputs")(x)
    return keras.Model(inputs, outputs, name=f"unet_{variant}")


def _layer(kind: str, rank: int, suffix: str = "") -> type[layers.Layer]:
    return getattr(layers, f"{kind}{rank}D{suffix}")


@keras.saving.register_keras_serializable("tfsci")
class PeriodicPadding(layers.Layer):
    """Puts one point of the other edge beyond each edge: (B, X, …, C) → (B, X + 2, …, C)."""

    def call(self, x):
        """Pads each axis but the first and the last."""
        for axis in range(1, len(x.shape) - 1):
            last = x.shape[axis] - 1
            ends = [ops.take(x, [i], axis=axis) for i in (last, 0)]
            x = ops.concatenate([ends[0], x, ends[1]], axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        """Returns the shape with two points more along each axis."""
        return (input_shape[0], *(edge + 2 for edge in input_shape[1:-1]), input_shape[-1])
