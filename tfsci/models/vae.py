"""Variational autoencoders (Kingma and Welling 2014, arXiv:1312.6114)."""

import math

import keras
from keras import layers, ops

from tfsci.models import autoencoder, checks

VARIANTS = autoencoder.VARIANTS


def kl_divergence(mean, log_variance):
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, summed over the last axis: ½ Σ (μ² + σ² − 1 − ln σ²)."""
    return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)


@keras.saving.register_keras_serializable("tfsci")
class GaussianSample(layers.Layer):
    """Draws from N(μ, σ²) in training, gives μ otherwise, and adds the divergence to the loss.

    Args:
        weight: Of the divergence, averaged over the samples, in the loss.
        **kwargs: Of every Keras layer.

    Call:
        μ (B, L) and ln σ² (B, L) → (B, L).
    """

    def __init__(self, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight
        self.seed = keras.random.SeedGenerator()

    def call(self, mean, log_variance, training=None):
        """Draws μ + σ ε."""
        self.add_loss(self.weight * ops.mean(kl_divergence(mean, log_variance)))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed)
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, mean_shape, log_variance_shape=None):
        """Returns the shape of μ."""
        return mean_shape

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "weight": self.weight}


def build(
    input_shape: tuple[int, int, int],
    variant: str = "small",
    latent_size: int | None = None,
    kl_weight: float = 1.0,
) -> keras.Model:
    """Builds a variational autoencoder.

    With ``keras.losses.BinaryCrossentropy(from_logits=True)`` between image and logits the loss is
    −ELBO per pixel and channel, in nats, of images in 0 … 1 at `kl_weight` 1.

    Args:
        input_shape: Height, width and channels of an image, see `autoencoder.build`.
        variant: A row of `VARIANTS`.
        latent_size: Numbers in the middle; the variant's own by default.
        kl_weight: Of the divergence against the reconstruction (β, Higgins et al. 2017).

    Returns:
        A model from images (B, H, W, C) to float32 logits (B, H, W, C). Its layers ``"encoder"``
        (→ mean and logarithm of the variance, each (B, latent_size)) and ``"decoder"`` are models
        of their own; the decoder draws images from standard normal numbers.

    Raises:
        ValueError: The variant is unknown, the image can't be halved so often, or a number is out
            of range.
    """
    row, input_shape, latent_size = autoencoder.options("vae", input_shape, variant, latent_size)
    kl_weight = checks.not_negative("kl_weight", kl_weight)

    inputs = keras.Input(input_shape, name="image")
    features = autoencoder.encode(inputs, row.channels)
    mean = layers.Dense(latent_size, dtype="float32", name="mean")(features)
    log_variance = layers.Dense(latent_size, dtype="float32", name="log_variance")(features)
    encoder = keras.Model(inputs, [mean, log_variance], name="encoder")

    weight = kl_weight / math.prod(input_shape)
    latent = GaussianSample(weight, dtype="float32", name="sample")(*encoder(inputs))
    outputs = autoencoder.decoder(input_shape, row.channels, latent_size)(latent)
    return keras.Model(inputs, outputs, name=f"vae_{variant}")
