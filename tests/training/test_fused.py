import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsci import models
from tfsci.distributed.batch_norm import synchronize
from tfsci.training.fused import fuse_batch_norm


def step(fused: bool, **options):
    """Returns output, gradients and moving statistics of a training step of one layer."""
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (4, 5, 6, 7)).astype("float32")
    towards = generator.normal(size=x.shape).astype("float32")
    inputs = keras.Input(x.shape[1:])
    layer = keras.layers.BatchNormalization(momentum=0.9, **options)
    model = keras.Model(inputs, layer(inputs))
    for weight in layer.trainable_variables:
        weight.assign(generator.uniform(0.5, 2, weight.shape))
    assert fuse_batch_norm(model) == 1 if fused else True
    watched = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        y = model(watched, training=True)
        loss = tf.reduce_sum(tf.cast(y, "float32") * towards)
    gradients = tape.gradient(loss, [watched, *(v.value for v in layer.trainable_variables)])
    return y, gradients, layer.get_weights(), model(x, training=False)


@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}, {"axis": 3}], ids=str
)
def test_gives_what_keras_gives(options):
    for ours, expected in zip(step(True, **options), step(False, **options), strict=True):
        for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_statistics_in_float32(precision):
    y, _, (_, _, mean, variance), _ = step(True, dtype=precision)
    _, _, (_, _, expected_mean, expected_variance), _ = step(False, dtype=precision)
    assert y.dtype == precision.removeprefix("mixed_")
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-3)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-3)


def test_by_hand():
    """Values 1 and 3 of one channel: mean 2, variance 1, moving ones a tenth of the way there."""
    inputs = keras.Input((1, 2, 1))
    layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=0.0)
    model = keras.Model(inputs, layer(inputs))
    fuse_batch_norm(model)
    y = model(np.array([1.0, 3.0], "float32").reshape(1, 1, 2, 1), training=True)
    np.testing.assert_allclose(np.ravel(y), [-1, 1], rtol=1e-5)
    np.testing.assert_allclose(np.ravel(layer.moving_mean), [0.2], rtol=1e-6)
    np.testing.assert_allclose(np.ravel(layer.moving_variance), [1.0], rtol=1e-6)


def test_a_frozen_layer_stays_what_it_is():
    inputs = keras.Input((2, 2, 1))
    layer = keras.layers.BatchNormalization()
    model = keras.Model(inputs, layer(inputs))
    layer.trainable = False
    fuse_batch_norm(model)
    before = layer.get_weights()
    model(np.ones((3, 2, 2, 1)), training=True)
    np.testing.assert_array_equal(layer.get_weights(), before)


def test_what_does_not_fit_is_left_alone():
    vector = keras.Input((3,))
    assert fuse_batch_norm(keras.Model(vector, keras.layers.BatchNormalization()(vector))) == 0
    image = keras.Input((2, 2, 3))
    rows = keras.Model(image, keras.layers.BatchNormalization(axis=1)(image))
    assert fuse_batch_norm(rows) == 0
    over_replicas = keras.Model(image, keras.layers.BatchNormalization()(image))
    synchronize(over_replicas, lambda values, name: values)
    assert fuse_batch_norm(over_replicas) == 0


def test_a_saved_model_is_plain_keras(tmp_path):
    model = models.build("resnet", input_shape=(8, 8, 1), num_classes=2)
    assert fuse_batch_norm(model) == 20
    assert fuse_batch_norm(model) == 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6)
    assert "call" not in vars(loaded.layers[2])
