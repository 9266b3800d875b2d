import keras
import pytest
from keras import layers

from tfsci.models import build
from tfsci.training import choose_jit


def attention():
    inputs = keras.Input((8, 16))
    return keras.Model(inputs, layers.MultiHeadAttention(2, 8)(inputs, inputs))


@pytest.mark.parametrize(
    ("model", "compiled"),
    [
        (lambda: build("cnn", input_shape=(8, 8, 1), num_classes=10), False),
        (lambda: keras.Sequential([keras.Input((8,)), layers.Dense(3)]), True),
        (attention, True),
    ],
)
def test_on_a_cpu_xla_is_for_models_without_convolutions(model, compiled):
    assert choose_jit(model()) is compiled
