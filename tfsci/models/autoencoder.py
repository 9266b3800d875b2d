"""Autoencoders: an image through a few numbers and back (Hinton and Salakhutdinov 2006)."""

from dataclasses import dataclass

import keras
from keras import layers

from tfsci.models import checks


@dataclass(frozen=True)
class Variant:
    """A row of the table: channels of each convolution that halves, and numbers in the middle."""

    channels: tuple[int, ...]
    latent_size: int


VARIANTS = {
    "small": Variant((32, 64), 16),
    "base": Variant((32, 64, 128), 64),
    "large": Variant((64, 128, 256, 512), 128),
}


def build(
    input_shape: tuple[int, int, int], variant: str = "small", latent_size: int | None = None
) -> keras.Model:
    """Builds a convolutional autoencoder.

    Args:
        input_shape: Height, width and channels of an image, without the batch; each convolution
            halves height and width, so 2 to the number of them must divide both.
        variant: A row of `VARIANTS`.
        latent_size: Numbers in the middle; the variant's own by default.

    Returns:
        A model from images (B, H, W, C) to float32 (B, H, W, C): logits of pixels in 0 … 1, or
        values, as the loss has it. Its layers ``"encoder"`` (→ (B, latent_size)) and ``"decoder"``
        are models of their own.

    Raises:
        ValueError: The variant is unknown, the image can't be halved so often, or a number is out
            of range.
    """
    row, input_shape, latent_size = options("autoencoder", input_shape, variant, latent_size)
    inputs = keras.Input(input_shape, name="image")
    features = encode(inputs, row.channels)
    latent = layers.Dense(latent_size, name="latent")(features)
    encoder = keras.Model(inputs, latent, name="encoder")
    outputs = decoder(input_shape, row.channels, latent_size)(encoder(inputs))
    return keras.Model(inputs, outputs, name=f"autoencoder_{variant}")


def options(
    model: str, input_shape: object, variant: object, latent_size: object
) -> tuple[Variant, tuple[int, int, int], int]:
    """Returns the row, the shape and the latent size, checked; see `build`."""
    row = checks.variant(model, VARIANTS, variant)
    input_shape = checks.image(model, input_shape)
    latent_size = checks.whole("latent_size", latent_size or row.latent_size)
    checks.halved(model, input_shape[:2], len(row.channels))
    return row, input_shape, latent_size


def encode(x, channels: tuple[int, ...]):
    """Halves images by convolutions, and lays out flat what is left."""
    for i, number in enumerate(channels, 1):  # (B, H, W, C) → (B, H/2, W/2, channels)
        x = _halve(number, i)(x)
    return layers.Flatten(name="flatten")(x)


def _halve(channels: int, i: int) -> layers.Layer:
    return layers.Conv2D(
        channels, 3, 2, "same", activation="gelu", kernel_initializer="he_normal", name=f"halve_{i}"
    )


def decoder(
    output_shape: tuple[int, int, int], channels: tuple[int, ...], latent_size: int
) -> keras.Model:
    """Returns the model from the numbers in the middle to images."""
    times = 2 ** len(channels)
    smallest = (output_shape[0] // times, output_shape[1] // times, channels[-1])
    inputs = keras.Input((latent_size,), name="latent")
    initial = {"activation": "gelu", "kernel_initializer": "he_normal"}
    x = layers.Dense(smallest[0] * smallest[1] * smallest[2], name="unfold", **initial)(inputs)
    x = layers.Reshape(smallest, name="reshape")(x)
    for i, number in enumerate((*channels[-2::-1], channels[0]), 1):  # H, W double
        x = layers.Conv2DTranspose(number, 3, 2, "same", name=f"double_{i}", **initial)(x)
    x = layers.Conv2D(output_shape[-1], 3, 1, "same", dtype="float32", name="logits")(x)
    return keras.Model(inputs, x, name="decoder")
