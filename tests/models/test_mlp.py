import numpy as np
import pytest

from tfsci import models


@pytest.mark.parametrize(
    ("activation", "of"),
    [
        ("relu", lambda z: np.maximum(z, 0)),
        ("elu", lambda z: np.where(z > 0, z, np.expm1(z))),
        ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
    ],
)
def test_hidden_units_do_what_their_activation_says(activation, of):
    model = models.build("mlp", input_shape=(3,), num_classes=2, units=(4,), activation=activation)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    first, bias, second, last = model.get_weights()
    np.testing.assert_allclose(model(x), of(x @ first + bias) @ second + last, rtol=1e-5, atol=1e-6)
