import keras
import numpy as np
import pytest

from tfsci import models
from tfsci.models import cost


@pytest.mark.parametrize(
    ("variant", "parameters"), [("tiny", 5_717_416), ("small", 22_050_664), ("base", 86_567_656)]
)
def test_published(variant, parameters):
    options = {"variant": variant, "input_shape": (224, 224, 3), "num_classes": 1000}
    assert cost.sketch("vit", **options).parameters == parameters


def test_patches_are_what_a_convolution_of_their_size_sees():
    model = models.build("vit", input_shape=(8, 12, 3), num_classes=2, patch_size=4)
    part = keras.Model(model.input, model.get_layer("embedding").output)
    kernel, _ = part.get_weights()
    x = np.random.default_rng(0).random((2, 8, 12, 3), "float32")
    convolved = keras.ops.conv(x, kernel.reshape(4, 4, 3, -1), strides=4)
    np.testing.assert_allclose(part(x), np.reshape(convolved, (2, 6, -1)), atol=1e-5)


def test_the_logits_are_of_the_first_token():
    """Which is the class token: with no position and no block in between it knows no image."""
    model = models.build("vit", input_shape=(8, 8, 1), num_classes=2, patch_size=4)
    token = model.get_layer("class_token")
    token.set_weights([np.full((1, 1, 128), 7.0)])
    part = keras.Model(model.input, token.output)
    y = np.asarray(part(np.random.default_rng(0).random((3, 8, 8, 1), "float32")))
    assert y.shape == (3, 5, 128)
    assert (y[:, 0] == 7).all() and (y[:, 1:] != 7).all()
