import keras
import numpy as np
import pytest
from test_builders import randomized

from tfsci import models
from tfsci.models.vae import GaussianSample, kl_divergence

IMAGES = np.random.default_rng(0).random((4, 8, 12, 2), "float32")


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_encoder_and_decoder_are_models_of_their_own(name):
    model = randomized(models.build(name, input_shape=(8, 12, 2), latent_size=5))
    latent = model.get_layer("encoder")(IMAGES)
    latent = latent[0] if name == "vae" else latent  # the mean
    assert latent.shape == (4, 5)
    decoded = model.get_layer("decoder")(latent)
    np.testing.assert_array_equal(decoded, model(IMAGES, training=False))
    assert decoded.shape == IMAGES.shape


class TestDivergence:
    @pytest.mark.parametrize(
        ("mean", "deviation", "nats"),
        [
            (0, 1, 0),
            (1, 1, 0.5),
            (0, 2, (4 - 1) / 2 - np.log(2)),
            (3, 0.5, (9 + 0.25 - 1) / 2 + np.log(2)),
        ],
    )
    def test_by_hand(self, mean, deviation, nats):
        """½ (μ² + σ² − 1) − ln σ, twice: the sum over two independent numbers."""
        log_variance = np.full((1, 2), 2 * np.log(deviation))
        found = kl_divergence(np.full((1, 2), float(mean)), log_variance)
        np.testing.assert_allclose(found, [2 * nats], rtol=1e-6)

    def test_by_integration(self):
        """∫ q ln(q/p) dx, of q = N(0.7, 1.6²) and p = N(0, 1)."""
        x, step = np.linspace(-20, 20, 100_001, retstep=True)
        q = np.exp(-0.5 * ((x - 0.7) / 1.6) ** 2) / (1.6 * np.sqrt(2 * np.pi))
        ratio = -0.5 * ((x - 0.7) / 1.6) ** 2 - np.log(1.6) + 0.5 * x**2
        found = kl_divergence(np.array([0.7]), np.array([2 * np.log(1.6)]))
        assert float(found) == pytest.approx((q * ratio).sum() * step, rel=1e-5)

    def test_is_added_to_the_loss(self):
        """Of the two samples 0.5 and 2 nats: 1.25 in the mean, times its weight of 0.1."""
        layer = GaussianSample(0.1)
        layer(np.array([[1.0, 0.0], [2.0, 0.0]]), np.zeros((2, 2)))
        (loss,) = layer.losses
        assert float(loss) == pytest.approx(0.125)

    def test_the_loss_is_the_bound_a_pixel(self):
        keras.utils.set_random_seed(0)
        model = models.build("vae", input_shape=(8, 12, 2), kl_weight=3.0)
        model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
        mean, log_variance = map(np.asarray, model.get_layer("encoder")(IMAGES))
        nats = np.mean(0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1))
        z = np.asarray(model(IMAGES, training=False), "float64")
        pixels = np.mean(np.logaddexp(0, z) - IMAGES * z)
        found = model.evaluate(IMAGES, IMAGES, verbose=0)
        assert found == pytest.approx(pixels + 3 * nats / (8 * 12 * 2), rel=1e-4)


def test_samples_have_the_mean_and_the_variance():
    """Of 40,000 numbers: standard errors of 0.01 and 0.014."""
    keras.utils.set_random_seed(0)
    mean, log_variance = np.full((200, 200), 3.0), np.full((200, 200), 2 * np.log(2.0))
    drawn = np.asarray(GaussianSample()(mean, log_variance, training=True))
    assert drawn.mean() == pytest.approx(3, abs=0.05)
    assert drawn.std() == pytest.approx(2, abs=0.05)
