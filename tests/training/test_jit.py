import keras
import pytest
import tensorflow as tf
from keras import layers

from tfsci.models import build
from tfsci.training import choose_jit

pytestmark = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="what is chosen for a CPU"
)


def attention():
    inputs = keras.Input((8, 16))
    return keras.Model(inputs, layers.MultiHeadAttention(2, 8)(inputs, inputs))


def convolution(make):
    return keras.Sequential([keras.Input((8, 8, 1)), make(), layers.Flatten(), layers.Dense(2)])


def nested(model):
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, layers.Dense(2)(model(inputs)))


@pytest.mark.parametrize(
    ("model", "compiled"),
    [
        (lambda: keras.Sequential([keras.Input((8,)), layers.Dense(3)]), True),
        (attention, True),
        (lambda: build("cnn", input_shape=(8, 8, 1), num_classes=10), False),
        (lambda: build("cnn", variant="oak-ridge", input_shape=(8, 8, 1), num_classes=10), False),
        (lambda: convolution(lambda: layers.Conv2DTranspose(2, 3)), False),
        (lambda: convolution(lambda: layers.SeparableConv2D(2, 3)), False),
        (lambda: convolution(lambda: layers.DepthwiseConv2D(3)), False),
        (lambda: nested(convolution(lambda: layers.Conv2D(2, 3))), False),
    ],
)
def test_on_a_cpu_xla_is_for_models_without_convolutions(model, compiled):
    assert choose_jit(model()) is compiled
