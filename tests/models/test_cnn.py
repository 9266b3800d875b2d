import json
import math

import keras
import numpy as np
import pytest

from tfsci import models
from tfsci.models import cnn


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives every weight, biases too, a random number."""
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def images(model: keras.Model, batch: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((batch, *model.input_shape[1:]), "float32")


class TestParameters:
    def test_oak_ridge_has_those_of_the_course(self):
        model = models.build("cnn", variant="oak-ridge", input_shape=(128, 128, 3), num_classes=231)
        assert model.count_params() == 5_680_239
        assert {layer.name: layer.count_params() for layer in model.layers if layer.weights} == {
            "conv_1": (3 * 3 * 3 + 1) * 12,
            "conv_2": (3 * 3 * 12 + 1) * 24,
            "logits": (32 * 32 * 24 + 1) * 231,
        }
        assert model.get_layer("dropout").rate == 0.2

    def test_small_on_the_digits(self):
        model = models.build("cnn", input_shape=(8, 8, 1), num_classes=10)
        assert {layer.name: layer.count_params() for layer in model.layers if layer.weights} == {
            "conv_1": (3 * 3 * 1 + 1) * 32,
            "conv_2": (3 * 3 * 32 + 1) * 64,
            "dense_1": (2 * 2 * 64 + 1) * 128,
            "logits": (128 + 1) * 10,
        }
        assert model.get_layer("dropout").rate == 0.25

    @pytest.mark.parametrize(
        ("shape", "channels", "flattened"),
        [
            ((64, 64, 3), [32, 64], 16 * 16 * 64),
            ((65, 40, 3), [32, 64, 64], 9 * 5 * 64),
            ((128, 128, 1), [32, 64, 64], 16 * 16 * 64),
            ((224, 224, 3), [32, 64, 64, 64], 14 * 14 * 64),
        ],
    )
    def test_small_halves_a_large_image_until_it_is_small_enough_to_flatten(
        self, shape, channels, flattened
    ):
        model = models.build("cnn", input_shape=shape, num_classes=3)
        convolutions = [layer for layer in model.layers if layer.name.startswith("conv")]
        assert [layer.filters for layer in convolutions] == channels
        assert model.get_layer("dense_1").count_params() == (flattened + 1) * 128

    def test_channels_are_the_callers(self):
        model = models.build("cnn", channels=(3, 5), input_shape=(224, 224, 1), num_classes=2)
        assert model.get_layer("flatten").output.shape == (None, 56 * 56 * 5)
        model = models.build(
            "cnn", variant="pooled", channels=(3, 12), input_shape=(8, 8, 1), num_classes=2
        )
        assert {layer.name: layer.count_params() for layer in model.layers if layer.weights} == {
            "conv_1": (9 * 1 + 1) * 3,
            "norm_1": 2 * 3,
            "conv_2": (9 * 3 + 1) * 12,
            "norm_2": 2 * 12,
            "dense_1": (12 + 1) * 128,
            "logits": (128 + 1) * 2,
        }
        # Eight groups do not divide the channels; the largest numbers that do both are taken.
        assert [model.get_layer(f"norm_{i}").groups for i in (1, 2)] == [1, 4]

    @pytest.mark.parametrize(
        ("input_shape", "num_classes", "total"),
        [
            # conv_1 896, conv_2 18,496, conv_3 73,856; scale and offset of each channel: 64, 128,
            # 256; dense_1 16,512; logits 645. The image's size is averaged away.
            ((64, 64, 3), 5, 110_853),
            ((32, 32, 3), 5, 110_853),
            # 2 channels less: 2 · 9 · 32 = 576; 5 classes more: 5 · 129 = 645.
            ((28, 28, 1), 10, 110_853 - 576 + 645),
        ],
    )
    def test_pooled(self, input_shape, num_classes, total):
        model = models.build(
            "cnn", variant="pooled", input_shape=input_shape, num_classes=num_classes
        )
        assert model.count_params() == total
        assert {layer.name: layer.count_params() for layer in model.layers if layer.weights} == {
            "conv_1": (3 * 3 * input_shape[2] + 1) * 32,
            "norm_1": 2 * 32,
            "conv_2": (3 * 3 * 32 + 1) * 64,
            "norm_2": 2 * 64,
            "conv_3": (3 * 3 * 64 + 1) * 128,
            "norm_3": 2 * 128,
            "dense_1": (128 + 1) * 128,
            "logits": (128 + 1) * num_classes,
        }
        logits = model(images(model))
        assert (logits.shape, logits.dtype.name) == ((3, num_classes), "float32")

    @pytest.mark.parametrize("variant", cnn.VARIANTS)
    def test_dropout_is_the_callers_or_none(self, variant):
        def build(dropout):
            return models.build(
                "cnn", variant=variant, input_shape=(8, 8, 1), num_classes=2, dropout=dropout
            )

        assert build(0.5).get_layer("dropout").rate == 0.5
        assert "dropout" not in [layer.name for layer in build(0.0).layers]


def convolve(x, kernel, bias):
    """3×3 convolution of (B, H, W, C) by (3, 3, C, K) with zeros around, in plain loops."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((*x.shape[:3], kernel.shape[-1])) + bias
    for i in range(height):
        for j in range(width):
            y[:, i, j] += np.einsum("bhwc,hwck->bk", padded[:, i : i + 3, j : j + 3], kernel)
    return y


def pool(x):
    """2×2 maximum; an odd last row or column is dropped."""
    height, width = x.shape[1] // 2, x.shape[2] // 2
    blocks = x[:, : 2 * height, : 2 * width].reshape(len(x), height, 2, width, 2, -1)
    return blocks.max(axis=(2, 4))


def normalize(x, scale, offset, groups=8):
    """Each sample's groups of channels to mean 0 and variance 1, then scaled and shifted."""
    grouped = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean, variance = (f(axis=(1, 3), keepdims=True) for f in (grouped.mean, grouped.var))
    return ((grouped - mean) / np.sqrt(variance + 1e-3)).reshape(x.shape) * scale + offset


def gelu(x):
    return x * np.vectorize(lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2))))(x)


class TestForward:
    @pytest.mark.parametrize("input_shape", [(8, 8, 3), (9, 6, 2), (4, 4, 1)])
    def test_oak_ridge_equals_numpy(self, input_shape):
        model = randomized(
            models.build("cnn", variant="oak-ridge", input_shape=input_shape, num_classes=5)
        )
        kernel_1, bias_1, kernel_2, bias_2, kernel, bias = model.get_weights()
        x = images(model)
        hidden = pool(np.maximum(convolve(x.astype("float64"), kernel_1, bias_1), 0))
        hidden = pool(np.maximum(convolve(hidden, kernel_2, bias_2), 0))
        expected = hidden.reshape(len(x), -1) @ kernel + bias
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("input_shape", [(8, 8, 3), (16, 8, 1)])
    def test_pooled_equals_numpy(self, input_shape):
        model = randomized(
            models.build("cnn", variant="pooled", input_shape=input_shape, num_classes=5)
        )
        *stages, kernel_1, bias_1, kernel_2, bias_2 = model.get_weights()
        x = images(model)
        hidden = x.astype("float64")
        for kernel, bias, scale, offset in zip(*[iter(stages)] * 4, strict=True):
            # Of an even edge, "same" with stride 2 takes every second pixel from the second on.
            hidden = convolve(hidden, kernel, bias)[:, 1::2, 1::2]
            hidden = gelu(normalize(hidden, scale, offset))
        hidden = gelu(hidden.mean(axis=(1, 2)) @ kernel_1 + bias_1)
        expected = hidden @ kernel_2 + bias_2
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("variant", cnn.VARIANTS)
    def test_no_sample_depends_on_the_rest_of_its_batch(self, variant):
        model = models.build("cnn", variant=variant, input_shape=(8, 8, 3), num_classes=5)
        x = images(model)
        alone = np.concatenate([model(x[i : i + 1], training=False) for i in range(len(x))])
        np.testing.assert_allclose(model(x, training=False), alone, rtol=1e-5, atol=1e-6)
        if "dropout" not in [layer.name for layer in model.layers]:
            np.testing.assert_allclose(model(x, training=True), alone, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("variant", cnn.VARIANTS)
    def test_logits_are_float32_in_mixed_precision_too(self, variant):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            model = models.build("cnn", variant=variant, input_shape=(8, 8, 1), num_classes=3)
        finally:
            keras.config.set_dtype_policy(before)
        assert model.get_layer("conv_1").compute_dtype == "bfloat16"
        logits = model(images(model))
        assert (logits.shape, logits.dtype.name) == ((3, 3), "float32")
        assert {w.dtype for w in model.weights} - {"uint32"} == {"float32"}


@pytest.mark.parametrize("variant", cnn.VARIANTS)
class TestCopies:
    @pytest.fixture
    def model(self, variant):
        return randomized(
            models.build("cnn", variant=variant, input_shape=(8, 8, 1), num_classes=3)
        )

    def test_saved_and_loaded(self, model, tmp_path):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert json.dumps(loaded.get_config()) == json.dumps(model.get_config())  # lists, tuples
        np.testing.assert_array_equal(loaded(images(model)), model(images(model)))

    def test_made_from_the_config(self, model):
        copy = keras.Model.from_config(model.get_config())
        assert copy.get_config() == model.get_config()
        assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy(images(model)), model(images(model)))


GOOD = {"name": "cnn", "input_shape": (8, 8, 1), "num_classes": 10}


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"name": "cnm"}, "unknown model 'cnm'; expected one of " + ", ".join(models.MODELS)),
        ({"variant": "big"}, "unknown variant 'big' of cnn; expected small or pooled or oak-ridge"),
        (
            {"input_shape": (3, 8, 1)},
            "input_shape (3, 8, 1): too small to halve 2 times; expected at least 4×4 pixels",
        ),
        (
            {"input_shape": (8, 8)},
            "input_shape (8, 8): cnn takes images, expected (height, width, channels)",
        ),
        ({"num_classes": 1}, "num_classes 1: expected at least 2"),
        ({"dropout": 1.0}, "dropout 1.0: expected 0 ≤ dropout < 1"),
        ({"dropout": -0.1}, "dropout -0.1: expected 0 ≤ dropout < 1"),
        ({"dropout": float("nan")}, "dropout nan: expected 0 ≤ dropout < 1"),
    ],
)
def test_what_does_not_fit_is_named(bad, text):
    with pytest.raises(ValueError) as error:
        models.build(**{**GOOD, **bad})
    assert str(error.value) == text
